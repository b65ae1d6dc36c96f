"""Training data: scans of a folder, split by subject, label maps, and the batches cut from them.

`subjects` finds the files, `reading` reads one scan, `scans` holds all of them on isotropic grids, `batches` cuts each
batch at a pixel size of its own, and `data_module` deals them out to every training; `pairs` are for refinement.
Imports `images`, `segmentation` and of `training` the options, `anatomy`, `head_labels`, `slice_batch` and `n4`.
Begin with `batches`.
"""
