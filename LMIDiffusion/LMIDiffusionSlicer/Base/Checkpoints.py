"""Checkpoints by name or path, and their descriptions."""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.interface.checkpoint_header import SUFFIX, CheckpointHeader, read_header, read_metadata
from LMIDiffusionLib.interface.resources import DEFAULT_CHECKPOINT, bundled_checkpoints, known_checkpoints

from .Errors import TranslationError


def resolveCheckpoint(nameOrPath: str) -> Path:
    """Return the file of a checkpoint, named as in the list or by its path; an empty name is the default.

    :raises TranslationError: there is no such checkpoint.
    """
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
    """Return the modality, pixel size and condition maps of a checkpoint in words; its name if it does not tell."""
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
    information = _("LMI")  # local mutual information; in full it would be wider than the panel's list
    return {"self": information, "cross": information, "sobel": _("edges"), "intensity": _("intensities")}


def readSummary(path: Path) -> CheckpointHeader:
    """Read the description in a checkpoint, for which neither PyTorch nor safetensors is needed.

    :raises TranslationError: it is none, or damaged.
    """
    try:
        return read_header(path)
    except UserError as error:
        raise TranslationError(str(error)) from error


def describe(summary: CheckpointHeader) -> str:
    """Return the description of a checkpoint in a few lines."""
    return "\n".join(
        (
            _("Makes {modality} with pixels of {size:g} mm.").format(
                modality=summary.modality, size=summary.pixel_size
            ),
            _("Trained on: {data}.").format(data=summary.training_data or _("unknown data")),
            _("License: {license}.").format(license=summary.license or _("unknown")),
            _("Segments tissues inside a brain mask.") if summary.knows_tissues else _("Takes no brain mask."),
        )
    )
