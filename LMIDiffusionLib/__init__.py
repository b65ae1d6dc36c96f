"""Zero-shot MR contrast translation by score-based diffusion steered with local mutual information.

After Wang et al., "Diffusion based Zero-shot Medical Image-to-Image Translation for Cross Modality Segmentation"
(arXiv 2404.01102). The library needs no 3D Slicer; `python -m LMIDiffusionLib` is its command line.

    import LMIDiffusionLib as lmi

    volume = lmi.read_volume("flair.nii.gz")
    translation = lmi.translate(volume, lmi.load_checkpoint())
    lmi.write_volume("t1w.nii.gz", translation.volume)
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .checkpoint import Checkpoint as Checkpoint
    from .checkpoint import Provenance as Provenance
    from .checkpoint import load_checkpoint as load_checkpoint
    from .devices import select_device as select_device
    from .diffusion import LMIDiffusion as LMIDiffusion
    from .errors import OutOfMemory as OutOfMemory
    from .errors import UserError as UserError
    from .lmi import local_mutual_information as local_mutual_information
    from .masks import read_mask as read_mask
    from .method import Method as Method
    from .options import TranslationOptions as TranslationOptions
    from .presets import PRESETS as PRESETS
    from .presets import Preset as Preset
    from .progress import Progress as Progress
    from .segmentation import Segmentation as Segmentation
    from .segmentation import segment_classes as segment_classes
    from .segmentation import segment_tissues as segment_tissues
    from .source import SlicedSource as SlicedSource
    from .translation import Translation as Translation
    from .translation import translate as translate
    from .volume import Volume as Volume
    from .volume import read_volume as read_volume
    from .volume import write_volume as write_volume

_HOMES = {
    "translate": "translation",
    "Translation": "translation",
    "TranslationOptions": "options",
    "PRESETS": "presets",
    "Preset": "presets",
    "Progress": "progress",
    "read_volume": "volume",
    "read_mask": "masks",
    "write_volume": "volume",
    "Volume": "volume",
    "load_checkpoint": "checkpoint",
    "Checkpoint": "checkpoint",
    "Provenance": "checkpoint",
    "segment_classes": "segmentation",
    "segment_tissues": "segmentation",
    "Segmentation": "segmentation",
    "LMIDiffusion": "diffusion",
    "Method": "method",
    "SlicedSource": "source",
    "local_mutual_information": "lmi",
    "select_device": "devices",
    "UserError": "errors",
    "OutOfMemory": "errors",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    """Load a public name when it is used first: importing the package takes no time, and does not need PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
