"""Translation of a study: all scans of a folder, a list or a BIDS data set.

Imports `translation`, `runs` and everything below them.
Begin with `inputs`, which finds the scans, and `run`, which shares out the work; `pipeline` is a process's part of it.
"""
