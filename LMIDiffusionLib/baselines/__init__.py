"""What LMIDiffusion is compared with, and how rivals are trained; what needs Lightning is imported when it is used."""

from .intensity_mapping import HistogramMatching, Identity, Inversion
from .sdedit import SDEdit

__all__ = ["HistogramMatching", "Identity", "Inversion", "SDEdit"]
