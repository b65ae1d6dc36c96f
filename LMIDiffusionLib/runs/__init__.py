"""Long runs: lists of input files, work on several devices, and directories of runs that can be resumed.

Imports `errors`, `images` and `interface`.
Begin with `distributed`, which shares out jobs among devices and nodes.
"""
