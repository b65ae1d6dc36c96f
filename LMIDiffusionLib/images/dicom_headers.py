"""Slices in DICOM files, classic and enhanced ones, by their headers: where they lie and what belongs together.

Headers are read by pydicom, because SimpleITK does not tell where the frames of an enhanced file lie, and takes them in
the order of storage.
"""

from __future__ import annotations

import os
import warnings
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

TRAITS = {
    "echo time": ("EchoTime", "EffectiveEchoTime"),
    "image type": ("ImageType", "FrameType"),
    "time point": ("TemporalPositionIdentifier", "TemporalPositionIndex"),
    "acquisition": ("AcquisitionNumber",),
    "b-value": ("DiffusionBValue",),
    "trigger time": ("TriggerTime", "NominalCardiacTriggerDelayTime"),
    "stack": ("StackID",),
    "segment": ("ReferencedSegmentNumber",),
}
"""What tells volumes of one series apart, the likeliest first, by the keywords of classic and of enhanced files."""

_KEYWORDS = (
    *("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName"),
    *("Rows", "Columns", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient"),
    *("PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *(keyword for keywords in TRAITS.values() for keyword in keywords),
)
_MARK, _MARK_AT = b"DICM", 128
_SAME_AXES = 1e-4  # between direction cosines


@dataclass(frozen=True)
class Slice:
    """A file of one image, or a frame of one of many.

    Attributes:
        path: of the file.
        frame: index in the file.
        header: attributes by their keywords.
        position: of the centre of the first voxel, left-posterior-superior, in millimetres.
        axes: (3, 2) steps from column to column and from row to row, in millimetres.
    """

    path: Path
    frame: int
    header: Mapping[str, Any]
    position: NDArray[np.float64]
    axes: NDArray[np.float64]

    @property
    def height(self) -> float:
        """Position along the normal of the slice, in millimetres."""
        normal = np.cross(*self.axes.T)
        return float(self.position @ normal / np.linalg.norm(normal))

    @property
    def is_frame(self) -> bool:
        """Whether it is one of many in its file."""
        return (self.header.get("NumberOfFrames") or 1) > 1

    @property
    def name(self) -> str:
        return f"frame {self.frame + 1}" if self.is_frame else self.path.name

    def belongs_to(self, other: Slice) -> bool:
        keywords = ("SeriesInstanceUID", "Rows", "Columns")
        same = all(self.header.get(each) == other.header.get(each) for each in keywords)
        return same and np.allclose(self.axes, other.axes, atol=_SAME_AXES)


def is_dicom(data: bytes) -> bool:
    """Whether that is how a DICOM file begins."""
    return data[_MARK_AT : _MARK_AT + len(_MARK)] == _MARK


def slices_in(path: Path) -> Iterator[Slice]:
    """Every slice of a file, or of the files in a folder and those below it, one of each that is there twice."""
    known = set()
    for each in [path] if path.is_file() else _files(path):
        for found in _slices_of(each):
            name = (found.header.get("SOPInstanceUID"), found.frame)
            if name not in known:
                yield found
            known.add(name)


def _files(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"The folder {error.filename} cannot be entered; ask for its permissions.") from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))


def _slices_of(path: Path) -> Iterator[Slice]:
    """Those of a file that have a place in space: none if it is no DICOM image."""
    header, frames = _headers(path)
    for frame, own in enumerate(frames):
        attributes = ChainMap(own, header)
        try:
            position, orientation, spacing = (
                np.array(attributes[keyword], np.float64)
                for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
            )
            axes = orientation.reshape(2, 3).T * spacing[::-1]
        except (LookupError, TypeError, ValueError):
            continue
        if position.shape == (3,) and np.isfinite([*position, *axes.ravel()]).all() and np.cross(*axes.T).any():
            yield Slice(path, frame, attributes, position, axes)


def _headers(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Attributes of a file, and those of each of its frames, shared ones too."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that do not keep to the standard
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
            header = {each.keyword: each.value for each in dataset}
        except InvalidDicomError:
            return {}, []
        except OSError as error:
            raise UserError(f"cannot be read ({error.strerror}); ask for its permissions.", place=path) from error
        except Exception:  # damaged files raise anything
            return {}, []
    shared = _attributes(header.pop("SharedFunctionalGroupsSequence", None) or [])
    frames = header.pop("PerFrameFunctionalGroupsSequence", None)
    if frames is None:
        return header, [{}] if header.get("NumberOfFrames") in (None, 1) else []
    return header, [shared | _attributes([frame]) for frame in frames]


def _attributes(groups: Sequence[Any]) -> dict[str, Any]:
    """What stands in the functional groups of a frame; each is a sequence of one item."""
    items = (element.value[0] for group in groups for element in group if element.VR == "SQ" and element.value)
    return {each.keyword: each.value for item in items for each in item}
