"""Which checkpoints there are, what they say of themselves, and where others can be had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from slicer.i18n import tr as _

from LMIDiffusionLib.checkpoint_header import CheckpointHeader, read_header, read_metadata
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.resources import DEFAULT_CHECKPOINT, bundled_checkpoints

from .Errors import TranslationError

_SUFFIX = ".safetensors"


def userCheckpointFolder() -> Path:
    return Path.home() / ".LMIDiffusion" / "Checkpoints"


def findCheckpoints() -> dict[str, Path]:
    """Bundled checkpoints and those in the user's folder, by name."""
    own = {path.stem: path for path in sorted(userCheckpointFolder().glob(f"*{_SUFFIX}"))}
    return {**own, **bundled_checkpoints()}


def resolveCheckpoint(nameOrPath: str) -> Path:
    """File of a checkpoint by its name in the list or by path; empty for the default."""
    name = nameOrPath or DEFAULT_CHECKPOINT
    path = findCheckpoints().get(name, Path(name))
    if path == Path():
        raise TranslationError(_("Choose a checkpoint file, or a checkpoint from the list."))
    if not path.is_file():
        raise TranslationError(
            _("There is no checkpoint {name}; choose one from the list or a {suffix} file.").format(
                name=name, suffix=_SUFFIX
            )
        )
    return path


@dataclass(frozen=True)
class Offer:
    """A checkpoint that another one names: where it is, and its SHA-256."""

    address: str
    checksum: str

    @property
    def fileName(self) -> str:
        return Path(unquote(urlparse(self.address).path)).name


def offerOf(path: Path) -> Offer | None:
    """What a checkpoint's header names under `download`, or None."""
    try:
        named = read_metadata(path)["download"]
        offer = Offer(str(named["address"]), str(named["sha256"]))
    except (UserError, LookupError, TypeError):
        return None
    return offer if offer.fileName.endswith(_SUFFIX) else None


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
