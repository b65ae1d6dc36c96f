"""Timings: seconds and memory of translations, of local mutual information and of the networks of other tools.

Imports `translation`, `baselines` and what lies below them.
Begin with `speed`, which `benchmark speed` runs.
"""
