"""Header of a checkpoint file, read with the standard library alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from ..errors import UserError

FORMAT_VERSION = 3
"""Version 3 stores weights in 8 bits with a scale per output channel; 1 and 2 store 16 bits.

Version 1 stores tissue centers without names: CSF, gray and white matter from dark to bright.
"""
METADATA_KEY = "lmidiffusion"
"""Key of the metadata, which are JSON, in the header of the safetensors file."""

MINIMUM_PIXELS = 16
"""Least number of the checkpoint's pixels along each side of a volume's slices."""

KIND = "lmidiffusion"
"""Kind of LMIDiffusion's checkpoints; files of trained baselines have others."""

SUFFIX = ".safetensors"
"""Ending of a checkpoint's file name."""

_LARGEST_HEADER = 10_000_000
_FORMER_NAMES = {
    "class_centres": "class_centers",  # former name
    "tissue_centres": "tissue_centers",  # former name
    "licence": "license",  # former name
    "grey matter": "gray matter",  # former name
}


@dataclass(frozen=True)
class CheckpointHeader:
    """Metadata that are read before a checkpoint is loaded.

    Attributes:
        modality: target modality, such as T1w.
        pixel_size: side of the slices' pixels in millimeters.
        class_counts: available numbers of intensity classes, ascending.
        knows_tissues: true if the checkpoint holds centers of tissues inside a brain mask.
        training_data: data that it was trained on.
        license: license of the weights.
    """

    modality: str
    pixel_size: float
    class_counts: tuple[int, ...]
    knows_tissues: bool
    training_data: str
    license: str


@dataclass(frozen=True)
class Offer:
    """A checkpoint to download, which another one names in its header under `download`.

    Attributes:
        address: URL of the file, by https.
        sha256: checksum of the file.
    """

    address: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The file name, which ends in .safetensors."""
        return Path(unquote(urlparse(self.address).path)).name


def read_offer(path: Path) -> Offer | None:
    """Return the checkpoint that a file offers; None if it offers none or is no checkpoint."""
    try:
        named = read_metadata(path)["download"]
        offer = Offer(str(named["address"]), str(named["sha256"]))
    except (UserError, LookupError, TypeError):
        return None
    is_file = offer.file_name.endswith(SUFFIX) and not offer.file_name.startswith(".")
    return offer if is_file and offer.address.startswith("https://") else None


def read_header(path: Path) -> CheckpointHeader:
    """Read the header of a checkpoint file.

    Raises:
        UserError: the file is no checkpoint, damaged, a pickle, or of a newer format.
    """
    metadata = read_metadata(path)
    try:
        return CheckpointHeader(
            modality=str(metadata["modality"]),
            pixel_size=float(metadata["pixel_size"]),
            class_counts=tuple(sorted(int(count) for count in metadata["class_centers"])),
            knows_tissues=metadata["tissue_centers"] is not None,
            training_data=str(metadata["training_data"]),
            license=str(metadata["license"]),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise damaged_checkpoint(path) from error


def read_metadata(path: Path, *, kind: str = KIND) -> dict[str, Any]:
    """Read all metadata of a checkpoint file as plain JSON types; only kind and format version have been checked.

    Raises:
        UserError: the file is no checkpoint, damaged, of another kind, a pickle, or of a newer format.
    """
    try:
        others = _read_safetensors_header(path).get("__metadata__") or {}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(_unreadable(path, error)) from error
    if METADATA_KEY not in others:
        raise UserError(f"{path} is a safetensors file of another program and no LMIDiffusion checkpoint; give one.")
    try:
        metadata: dict[str, Any] = json.loads(others[METADATA_KEY], object_hook=_with_present_names)
        _check_version(metadata, path)
        found = metadata.get("kind", KIND)  # older files have none
    except UserError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise damaged_checkpoint(path) from error
    if found != kind:
        raise UserError(f"{path} is a checkpoint of {found}; give one of {kind}.")
    return metadata


def _with_present_names(fields: dict[str, Any]) -> dict[str, Any]:
    """Rename the fields that files written before version 0.2.0 spell differently."""
    return {_FORMER_NAMES.get(name, name): value for name, value in fields.items()}


def _check_version(metadata: dict[str, Any], path: Path) -> None:
    if metadata["format_version"] > FORMAT_VERSION:
        raise UserError(
            f"{path} was written by LMIDiffusion {metadata['library_version']} in a newer format; update LMIDiffusion."
        )
    if metadata["format_version"] < 1:
        raise ValueError("there is no such format")


def damaged_checkpoint(path: Path) -> UserError:
    """Return the error about a damaged checkpoint."""
    return UserError(f"{path} is damaged or truncated (bad metadata or weights); copy or download it again.")


def _read_safetensors_header(path: Path) -> Any:
    """Read the JSON object at the start of the file, whose size the first eight bytes hold."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 0 < size < _LARGEST_HEADER:
            raise ValueError("its header has an impossible size")
        return json.loads(file.read(size))


def _unreadable(path: Path, error: Exception) -> str:
    start = path.read_bytes()[:3] if path.is_file() else b""
    # The size of a safetensors header may begin with the byte of a pickle, but its third byte is 0.
    if start[:2] == b"PK" or (start[:1] == b"\x80" and start[2:] != b"\0"):
        return f"{path} is a pickle, which can run any code and is never loaded; give a .safetensors checkpoint."
    return f"{path} is no LMIDiffusion checkpoint, or truncated ({error}); copy or download it again."
