"""Checkpoints by name or path, and what they say of themselves."""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.interface.checkpoint_header import SUFFIX, CheckpointHeader, read_header, read_metadata
from LMIDiffusionLib.interface.resources import DEFAULT_CHECKPOINT, bundled_checkpoints, known_checkpoints

from .Errors import TranslationError


def resolveCheckpoint(nameOrPath: str) -> Path:
    """File of a checkpoint by its name in the list or by path; empty for the default."""
    name = nameOrPath or DEFAULT_CHECKPOINT
    path = known_checkpoints().get(name, Path(name))
    if path == Path():
        raise TranslationError(_("Choose a checkpoint file, or a checkpoint from the list."))
    if not path.is_file():
        raise TranslationError(
            _("There is no checkpoint {name}; choose one from the list or a {suffix} file.").format(
                name=name, suffix=SUFFIX
            )
        )
    return path


def labelOf(name: str, path: Path) -> str:
    """What a checkpoint makes and of what, in words; its name where it says nothing of itself."""
    try:
        metadata, header = read_metadata(path), read_header(path)
        maps = [_mapNames()[each] for each in metadata["condition"]["maps"] if each in _mapNames()]
    except (UserError, LookupError, TypeError):
        return name
    text = _("{modality}, {size:g} mm: {maps}").format(
        modality=header.modality, size=header.pixel_size, maps=" + ".join(dict.fromkeys(maps))
    )
    return text if name in bundled_checkpoints() else _("{text} ({name})").format(text=text, name=name)


def _mapNames() -> dict[str, str]:
    information = _("mutual information")
    return {"self": information, "cross": information, "sobel": _("edges"), "intensity": _("intensities")}


def readSummary(path: Path) -> CheckpointHeader:
    """What a checkpoint says of itself; it takes neither PyTorch nor safetensors to read it.

    :raises TranslationError: it is none, or damaged.
    """
    try:
        return read_header(path)
    except UserError as error:
        raise TranslationError(str(error)) from error
