"""Bundled files: checkpoints and sample scans."""

from __future__ import annotations

from pathlib import Path

from .errors import UserError

_LIBRARY = Path(__file__).resolve().parent
# In a wheel; in an installed Slicer extension; in a source checkout.
_CANDIDATES = (_LIBRARY / "Resources", _LIBRARY.parent / "Resources", _LIBRARY.parent / "LMIDiffusion" / "Resources")

DEFAULT_CHECKPOINT = "t1w-ixi-2mm-lmi-intensity"


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


def checkpoint_path(name_or_path: str) -> Path:
    """File of a checkpoint given by the name of a bundled one or by path.

    Raises:
        UserError: there is none.
    """
    bundled = bundled_checkpoints()
    if name_or_path in bundled:
        return bundled[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(bundled)) or "none"
        raise UserError(f"There is no checkpoint {name_or_path}; give the path of one, or a bundled name ({known}).")
    return path
