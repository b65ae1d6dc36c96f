"""Reading of image files, whose format their first bytes tell."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...errors import UserError
from ..dicom.headers import is_dicom, lacks_preamble
from ..dicom.series import Series, read_series
from ..files import is_annexed, is_file, is_folder
from .metaimage import read_metaimage
from .mgh import is_mgh, read_mgh
from .nifti import read_nifti
from .nrrd import read_nrrd
from .stored_file import StoredFile
from .stored_image import StoredImage, not_a_scan, unreadable

_NRRD_MARK = b"NRRD000"
_METAIMAGE_MARK = re.compile(rb"\s*(Comment|ObjectType|ObjectSubType|NDims)\s*=")
_POINTERS = (b"version https://git-lfs.github.com/", b"/annex/objects/")
_OTHER_KINDS = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG\r\n": "a PNG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\3\4": "a ZIP archive",
}
_PAIRS = (".img", ".img.gz", ".hdr")  # of Analyze, in which voxels begin with any bytes


def read_image(source: Path | Series) -> StoredImage:
    """Read the voxels of an image and where they lie.

    Args:
        source: a file, a folder of DICOM files, or one of several series in it.

    Raises:
        UserError: it is missing, unreadable, of no known format, truncated, without voxels or not scalar, or its header
            does not say where its voxels lie.
    """
    if isinstance(source, Series) or is_folder(source):
        return _read_dicom(source)
    check_exists(source)
    stored = StoredFile(source)
    with np.errstate(all="ignore"):
        if stored.head.startswith(_NRRD_MARK):
            return read_nrrd(stored)
        if _METAIMAGE_MARK.match(stored.head):
            return read_metaimage(stored)
        if is_dicom(stored.head):
            return _read_dicom(source)
        if is_mgh(stored.head):
            return read_mgh(stored)
        if stored.head.startswith(_POINTERS):
            text = "is a pointer of git to a file that is elsewhere; fetch its content (git annex get, git lfs pull)."
            raise UserError(text, place=source)
        if lacks_preamble(stored.head):
            raise unreadable(source, "it is a DICOM file that lacks its preamble, with the mark DICM")
        if (kind := _other_kind(stored.head)) is not None and not source.name.lower().endswith(_PAIRS):
            raise not_a_scan(source, kind)
        return read_nifti(stored)


def _other_kind(head: bytes) -> str | None:
    """Name the kind of a file that people take for a scan by mistake."""
    kind = next((kind for mark, kind in _OTHER_KINDS.items() if head.startswith(mark)), None)
    is_text = kind is None and head and b"\0" not in head and _is_text(head)
    return "a text file" if is_text else kind


def _is_text(head: bytes) -> bool:
    """True for text that may be cut within a letter."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4
    return True


def _read_dicom(source: Path | Series) -> StoredImage:
    array, affine, notices = read_series(source)
    return StoredImage(array, affine, None, notices)


def check_exists(path: Path) -> None:
    """Make sure that a path leads to a file or a folder.

    Raises:
        UserError: it does not.
    """
    if not is_folder(path) and not is_file(path):
        raise _missing(path)


def _missing(path: Path) -> UserError:
    """Return the error about a path at which there is no regular file."""
    if not path.is_symlink():
        problem = "is not a file" if path.exists() else "does not exist"
        return UserError(f"{problem}; give the path of a scan.", place=path)
    way = "datalad get or git annex get" if is_annexed(path) else "copy its target"
    return UserError(f"is a broken link; fetch its content ({way}).", place=path)
