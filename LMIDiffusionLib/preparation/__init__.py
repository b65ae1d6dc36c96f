"""`prepare`: alignment of raw scans of several modalities for training and benchmarks.

Imports `training` for the bias correction, `segmentation` and `images`.
Begin with `preparation`: the steps of one subject, and the manifest.
"""

from .preparation import PreparationOptions, prepare

__all__ = ["PreparationOptions", "prepare"]
