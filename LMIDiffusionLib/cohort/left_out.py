"""Files of a folder that are no scans to translate, by their names: label maps, and scans of the target modality."""

from __future__ import annotations

import re
from pathlib import Path

from ..images.files import stem

_LABEL_MAPS = {
    *("aparc", "aseg", "brainmask", "dlmuse", "dseg", "label", "labelmap", "labels", "mask", "parc", "probseg", "roi"),
    *("seg", "segmentation", "tissue", "tissues"),
}


def reason_to_leave_out(path: Path, target: str) -> str | None:
    """Return why a file of a folder is left out; None if it is a scan to translate.

    Args:
        path: file, whose name ends in its kind, such as `anna_mask.nii.gz`.
        target: modality that the checkpoint makes; empty if it is not known.
    """
    kind = re.split(r"[\W_]", stem(path))[-1].lower()
    if kind in _LABEL_MAPS:
        return "It is named as a label map."
    if target and kind in (target.lower(), target.lower().removesuffix("w")):
        return f"It is a {target} scan already."
    return None
