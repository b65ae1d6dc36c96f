"""Long runs: lists of files, work shared by processes, and a run's own directory.

Imports `errors`, `images` and `interface`.
Begin with `distributed`, which shares out work among devices and nodes.
"""
