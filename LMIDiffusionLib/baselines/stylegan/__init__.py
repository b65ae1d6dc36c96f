"""StyleGAN2 (Karras et al. 2020) of the target modality, and translation by inversion of source slices.

Imports `translation` and `images`. Its training, with adaptive discriminator augmentation, is in `baselines.training`.
Begin with `inversion`: the code whose image is closest to a source slice.
"""
