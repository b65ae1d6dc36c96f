"""Training data: scans of a folder, split by subject, label maps, and the batches cut from them.

`dataset` cuts all slices of one pixel size, for the baselines. `scans` holds whole scans, `batches` cuts each batch of
the score network's training at a pixel size of its own, and `data_module` deals them out.
Imports `images`, `segmentation` and of `training` the options, `anatomy`, `head_labels`, `slice_batch` and `n4`.
Begin with `batches`.
"""
