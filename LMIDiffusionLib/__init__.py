"""Zero-shot MR contrast translation by score-based diffusion steered with local mutual information.

After Wang et al., "Diffusion based Zero-shot Medical Image-to-Image Translation for Cross Modality Segmentation"
(arXiv 2404.01102). The library needs no 3D Slicer; `python -m LMIDiffusionLib` is its command line.

    import LMIDiffusionLib as lmi

    result = lmi.translate("flair.nii.gz", device="auto")
    lmi.write_volume("t1w.nii.gz", result.volume)
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .errors import OutOfMemory as OutOfMemory
    from .errors import UserError as UserError
    from .images.masks import read_mask as read_mask
    from .images.volume import Volume as Volume
    from .images.volume import read_volume as read_volume
    from .images.volume import write_volume as write_volume
    from .interface.notices import Notice as Notice
    from .interface.presets import PRESETS as PRESETS
    from .interface.presets import Preset as Preset
    from .interface.progress import Progress as Progress
    from .lmi import local_mutual_information as local_mutual_information
    from .model.checkpoint import Checkpoint as Checkpoint
    from .model.checkpoint import Provenance as Provenance
    from .model.checkpoint import load_checkpoint as load_checkpoint
    from .model.devices import select_device as select_device
    from .segmentation.brain_extraction import find_brain as find_brain
    from .segmentation.classes import Segmentation as Segmentation
    from .segmentation.classes import segment_classes as segment_classes
    from .segmentation.classes import segment_tissues as segment_tissues
    from .translation.lmi_diffusion import LMIDiffusion as LMIDiffusion
    from .translation.options import Extra as Extra
    from .translation.options import TranslationOptions as TranslationOptions
    from .translation.scan_pipeline import ScanResult as ScanResult
    from .translation.scan_pipeline import ScanSettings as ScanSettings
    from .translation.scan_pipeline import SegmentationSettings as SegmentationSettings
    from .translation.scan_pipeline import translate as translate
    from .translation.scan_pipeline import translate_scan as translate_scan
    from .translation.sliced_volume import SlicedVolume as SlicedVolume
    from .translation.translator import Translator as Translator

_HOMES = {
    "translate": "translation.scan_pipeline",
    "translate_scan": "translation.scan_pipeline",
    "ScanResult": "translation.scan_pipeline",
    "ScanSettings": "translation.scan_pipeline",
    "SegmentationSettings": "translation.scan_pipeline",
    "Extra": "translation.options",
    "TranslationOptions": "translation.options",
    "PRESETS": "interface.presets",
    "Preset": "interface.presets",
    "Progress": "interface.progress",
    "read_volume": "images.volume",
    "read_mask": "images.masks",
    "write_volume": "images.volume",
    "Volume": "images.volume",
    "load_checkpoint": "model.checkpoint",
    "Checkpoint": "model.checkpoint",
    "Provenance": "model.checkpoint",
    "find_brain": "segmentation.brain_extraction",
    "segment_classes": "segmentation.classes",
    "segment_tissues": "segmentation.classes",
    "Segmentation": "segmentation.classes",
    "LMIDiffusion": "translation.lmi_diffusion",
    "Translator": "translation.translator",
    "SlicedVolume": "translation.sliced_volume",
    "Notice": "interface.notices",
    "local_mutual_information": "lmi",
    "select_device": "model.devices",
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
