"""The score network and its surroundings: condition maps, noise schedule, samplers, checkpoints, devices.

Imports `lmi`, `images` and `interface`.
Begin with `checkpoint`: weights and all that a translation needs to know.
"""
