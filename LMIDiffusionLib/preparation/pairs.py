"""Pairs of a folder of scans, aligned, as a list."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk
from tqdm import tqdm

from ..errors import UserError
from ..images.files import write_csv
from .alignment import align
from .scans import find_scans


def align_pairs(data: Path, output: Path, *, target: str, source: str) -> Path:
    """Register the source of every person to the target, and write both and a list of the pairs.

    Args:
        data: folder of scans of both modalities.
        output: folder for the aligned scans.
        target: modality whose grid is kept.
        source: modality to register.

    Returns:
        The list, a CSV file of source, target and subject.

    Raises:
        UserError: nobody has both scans, or a pair cannot be registered.
    """
    complete = {name: scans for name, scans in find_scans(data, [target, source]).items() if len(scans) == 2}
    if not complete:
        raise UserError(
            f"{data} holds nobody with both {source} and {target}; give files NAME_{source} and NAME_{target}."
        )
    rows = []
    for name, scans in tqdm(complete.items(), desc="Aligning", unit="person", disable=None):
        alignment = align(scans, target=target, sources=[source], spacing=None, correct_bias=False)
        if problems := alignment.problems():
            raise UserError(f"{name} could not be registered ({'; '.join(problems)}); leave it out.")
        files = {each: f"{name}_{each}.nii.gz" for each in (source, target)}
        for modality, image in ((source, alignment.registrations[source].source), (target, alignment.target)):
            seen = sitk.Mask(image, alignment.seen_by_all())
            sitk.WriteImage(seen, str(output / files[modality]), useCompression=True)
        rows.append((files[source], files[target], name))
    path = output / "pairs.csv"
    write_csv(path, [("source", "target", "subject"), *rows])
    return path
