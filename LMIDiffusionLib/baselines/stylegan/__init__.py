"""StyleGAN2 with adaptive discriminator augmentation on target slices alone, and inversion of source slices.

Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN" and "Training generative adversarial
networks with limited data", in the smallest form that has their parts.
"""
