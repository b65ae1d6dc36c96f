"""Translation of a scan to the target modality.

Imports `model`, `segmentation` and `images`.
Begin with `scan_pipeline`, which every caller uses; `translator` is the protocol of LMIDiffusion and all baselines.
"""
