"""What LMIDiffusion is compared with. CycleGAN and StyleGAN2-ADA inversion of the paper's table are not here yet."""

from .intensity_mapping import HistogramMatching, Identity
from .sdedit import SDEdit

__all__ = ["HistogramMatching", "Identity", "SDEdit"]
