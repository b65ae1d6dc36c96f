"""Subjects of a folder of scans, and who of them is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from ...images.files import VOLUME_ENDINGS, check_folder, named_volumes


@dataclass(frozen=True)
class Subject:
    """Files of one subject: the scan and, if present, a brain mask and a label map."""

    name: str
    image: Path
    brain: Path | None = None
    labels: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All files of the subject."""
        return [each for each in (self.image, self.brain, self.labels) if each is not None]


def find_subjects(
    folder: Path, *, modality: str, brain_suffixes: Sequence[str], label_suffix: str | None = None
) -> list[Subject]:
    """Find the subjects of a folder: NAME_<modality>.nii.gz with, optionally, NAME_<suffix>.nii.gz of mask and labels.

    They may have any ending of volumes.

    Raises:
        UserError: there is no such folder or file.
    """
    check_folder(folder, wanted=f"files named *_{modality}.nii.gz")

    def find(name: str, suffixes: Sequence[str]) -> Path | None:
        files = [folder / f"{name}_{suffix}{ending}" for suffix in suffixes for ending in VOLUME_ENDINGS]
        return next((file for file in files if file.is_file()), None)

    label_suffixes = [] if label_suffix is None else [label_suffix]
    subjects = [
        Subject(name, image, find(name, brain_suffixes), find(name, label_suffixes))
        for name, image in named_volumes(folder, modality).items()
    ]
    if not subjects:
        raise UserError(f"{folder} holds no file named *_{modality}.nii.gz; check the folder and --modality.")
    return subjects


def split_subjects(subjects: list[Subject], *, held_out: int) -> tuple[list[Subject], list[Subject]]:
    """Split subjects into training and held-out ones: those whose names have the least hash.

    Whoever was held out of a folder is so too when files are added to it, unless an added one takes the place, and
    whatever the seed: a training that goes on from a checkpoint sees hardly anybody that was held out before.

    Raises:
        UserError: no subject would be left to train on.
    """
    if held_out < 1 or held_out >= len(subjects):
        raise UserError(
            f"{held_out} of {len(subjects)} subjects cannot be held out; hold out at least 1 and train on at least 1."
        )
    order = sorted(subjects, key=lambda subject: hashlib.sha256(subject.name.encode()).digest())
    chosen = {subject.name for subject in order[:held_out]}
    return (
        [subject for subject in subjects if subject.name not in chosen],
        [subject for subject in subjects if subject.name in chosen],
    )
