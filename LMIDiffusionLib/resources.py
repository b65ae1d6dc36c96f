"""Bundled files: checkpoints and sample scans."""

from __future__ import annotations

from pathlib import Path

from .errors import UserError

_LIBRARY = Path(__file__).resolve().parent
# In a wheel; in an installed Slicer extension; in a source checkout.
_CANDIDATES = (_LIBRARY / "Resources", _LIBRARY.parent / "Resources", _LIBRARY.parent / "LMIDiffusion" / "Resources")

DEFAULT_CHECKPOINT = "t1w-ixi-2mm"


def resource(*parts: str) -> Path:
    """Path of a bundled file or folder.

    Raises:
        UserError: it is not there.
    """
    for folder in _CANDIDATES:
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    raise UserError(f"The bundled file {'/'.join(parts)} is missing; install LMIDiffusion again.")


def bundled_checkpoints() -> dict[str, Path]:
    """Bundled checkpoints by name."""
    files = (path for folder in _CANDIDATES for path in (folder / "Checkpoints").glob("*.safetensors"))
    return {path.stem: path for path in files}
