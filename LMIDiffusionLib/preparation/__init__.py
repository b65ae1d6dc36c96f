"""`prepare`: from raw scans of several modalities to aligned ones that `train`, `evaluate` and `benchmark` read."""

from .preparation import PreparationOptions, prepare

__all__ = ["PreparationOptions", "prepare"]
