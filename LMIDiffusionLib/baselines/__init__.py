"""Methods that LMIDiffusion is compared with.

Imports `translation` and `model`; what needs Lightning is in `training`, which is imported when it is used.
Begin with `intensity_mapping`, then `feed_forward`: the simplest baselines and the trained ones.
"""

from .intensity_mapping import HistogramMatching, Identity, Inversion
from .sdedit import SDEdit

__all__ = ["HistogramMatching", "Identity", "Inversion", "SDEdit"]
