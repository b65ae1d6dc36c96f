"""From a source volume to a volume of the target modality.

Imports `model`, `segmentation` and `images`.
Begin with `translate_volume`; `translator` is the protocol that LMIDiffusion and all baselines follow.
"""
