"""Training data: slices of the scans of a folder, split by subject.

Imports `images`, `segmentation` and `training.anatomy`.
Begin with `dataset`.
"""
