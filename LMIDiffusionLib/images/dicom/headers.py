"""DICOM headers of classic and enhanced files: slices with their place in space, and the files that have none.

Headers are read by pydicom: SimpleITK does not say where the frames of an enhanced file lie, and takes them in the
order of storage.
"""

from __future__ import annotations

import os
import stat
import warnings
import zlib
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ..geometry import are_orthonormal

TRAITS = {
    "echo": ("EchoNumbers",),
    "echo time": ("EchoTime", "EffectiveEchoTime"),
    "inversion time": ("InversionTime", "InversionTimes"),
    "image type": ("ImageType", "FrameType"),
    "component": ("ComplexImageComponent",),
    "description": ("SeriesDescription",),
    "time point": ("TemporalPositionIdentifier", "TemporalPositionIndex"),
    "acquisition": ("AcquisitionNumber", "FrameAcquisitionNumber"),
    "b-value": ("DiffusionBValue",),
    "gradient": ("DiffusionGradientOrientation",),
    "trigger time": ("TriggerTime", "NominalCardiacTriggerDelayTime"),
    "flip angle": ("FlipAngle",),
    "repetition time": ("RepetitionTime",),
    "sequence": ("SequenceName", "PulseSequenceName"),
    "stack": ("StackID",),
    "segment": ("ReferencedSegmentNumber",),
    "acquisition time": ("AcquisitionTime", "FrameAcquisitionDateTime"),
    "content time": ("ContentTime",),
    "image number": ("InstanceNumber",),
}
"""Attributes that tell volumes of a series apart, the likeliest first, with keywords of classic and enhanced files."""

RESCALING = ("RescaleSlope", "RescaleIntercept")
"""Keywords of the scale of stored values."""

_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_GROUPS, _FRAME_GROUPS = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_KEYWORDS = (
    *("SOPClassUID", "PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber"),
    *("Modality", "ProtocolName", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "SliceThickness", "SpacingBetweenSlices", "DimensionIndexValues"),
    *(*_PLACE, *RESCALING, _GROUPS, _FRAME_GROUPS),
    *(keyword for keywords in TRAITS.values() for keyword in keywords),
)
_COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_MARK, _MARK_AT = b"DICM", 128
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # of a file without its preamble, little endian
_NATIVE_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_DEFLATED = "1.2.840.10008.1.2.1.99"
# Bytes that a byte of a compressed file may stand for, and the size up to which nobody asks.
_MOST_COMPRESSION, _SMALL = 1100, 2**26
_READ_AT_ONCE = 2**16


@dataclass(frozen=True)
class Slice:
    """A file of one image, or a frame of a file of many.

    Attributes:
        path: the file.
        frame: index in the file.
        header: attributes by their keywords.
        position: center of the first voxel, left-posterior-superior, in millimeters.
        axes: (3, 2) steps from column to column and from row to row, in millimeters.
    """

    path: Path
    frame: int
    header: Mapping[str, Any]
    position: NDArray[np.float64]
    axes: NDArray[np.float64]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit normal (3,) of the slice."""
        normal = np.cross(*self.axes.T)
        return np.asarray(normal / np.linalg.norm(normal))

    @property
    def height(self) -> float:
        """Position along the normal of the slice, in millimeters."""
        return float(self.position @ self.normal)

    @property
    def is_frame(self) -> bool:
        """True for one of many images in a file."""
        return (number_of(self.header, "NumberOfFrames") or 1) > 1

    @property
    def name(self) -> str:
        """Name of the frame or the file."""
        return f"frame {self.frame + 1}" if self.is_frame else self.path.name


@dataclass(frozen=True)
class SkippedFile:
    """A file that may have been meant as part of a scan and cannot be.

    Attributes:
        path: the file.
        reason: the rest of a sentence that begins with its name.
        series: the SeriesInstanceUID that it names; empty if it names none.
    """

    path: Path
    reason: str
    series: str = ""


class _UnusableFile(Exception):
    """Raised with the reason of a `SkippedFile`, and the series if it is known."""

    series = ""


def is_dicom(data: bytes) -> bool:
    """Recognize the first bytes of a DICOM file."""
    return data[_MARK_AT : _MARK_AT + len(_MARK)] == _MARK


def lacks_preamble(data: bytes) -> bool:
    """Recognize the first bytes of a DICOM file that begins with its data elements, without the mark DICM."""
    is_explicit = data[4:6].isalpha() and data[4:6].isupper()
    return data[:2] in _FIRST_GROUPS and data[3:4] == b"\0" and (is_explicit or data[6:8] == b"\0\0")


def text_of(header: Mapping[str, Any], keyword: str) -> str:
    """An attribute as text, without space around it; empty if it is absent."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def number_of(header: Mapping[str, Any], keyword: str) -> float | None:
    """An attribute as a finite number; None if it is absent or is no single number."""
    try:
        value = float(header[keyword])
    except (LookupError, TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


def read_slices(path: Path) -> tuple[list[Slice], list[SkippedFile]]:
    """Read the headers of a file, or of the regular files in a folder and those below it.

    Each file is read once, however many links lead to it; links to folders are not followed.

    Raises:
        UserError: a folder or a file may not be read.
    """
    slices: list[Slice] = []
    skipped: list[SkippedFile] = []
    for each in [path] if path.is_file() else _files_below(path):
        try:
            _check_file(each)
            slices.extend(_slices_of(each))
        except _UnusableFile as error:
            if str(error):
                skipped.append(SkippedFile(each, str(error), error.series))
    return slices, skipped


def _files_below(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"The folder {error.filename} cannot be entered; ask for its permissions.") from error

    known = set()
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            real = os.path.realpath(path)
            if real not in known:
                yield path
            known.add(real)


def _check_file(path: Path) -> None:
    """Pass a regular file that begins as DICOM does.

    Raises:
        _UnusableFile: it does not; without a reason if nothing suggests that it was meant as part of a scan.
        UserError: it may not be read.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise _UnusableFile("is a broken link; fetch its content") from error
    except OSError as error:
        raise _UnusableFile(f"cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(status.st_mode):
        raise _UnusableFile("is no regular file")
    try:
        with path.open("rb") as file:
            start = file.read(_MARK_AT + len(_MARK))
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror}); ask for its permissions.", place=path) from error
    if is_dicom(start):
        return
    if lacks_preamble(start):
        raise _UnusableFile("lacks the preamble of DICOM files, with the mark DICM")
    raise _UnusableFile("is empty" if not start and not path.name.startswith(".") else "")


def _slices_of(path: Path) -> list[Slice]:
    """All slices of a file.

    Raises:
        _UnusableFile: it holds no image of gray values, or one of its slices has no place in space.
    """
    header = _attributes_of(path)
    try:
        _check_image(header, path)
        return [_slice(path, frame, ChainMap(own, header)) for frame, own in enumerate(_frames(header))]
    except _UnusableFile as error:
        error.series = text_of(header, "SeriesInstanceUID")
        raise


def _frames(header: dict[str, Any]) -> list[dict[str, Any]]:
    """Attributes of each frame of a file, shared ones too, taken out of its header.

    Raises:
        _UnusableFile: they are damaged or missing.
    """
    count = int(number_of(header, "NumberOfFrames") or 1)
    shared, frames = header.pop(_GROUPS, None), header.pop(_FRAME_GROUPS, None)
    if frames is None:
        if count != 1:
            raise _UnusableFile("gives no position for each frame (it has no PerFrameFunctionalGroupsSequence)")
        return [{}]
    try:
        common = _values_in(shared or [])
        own = [common | _values_in([frame]) for frame in frames]
    except Exception as error:  # odd sequences raise anything
        raise _UnusableFile("has damaged functional groups") from error
    if len(own) != count:
        raise _UnusableFile(f"describes {len(own)} frames where its NumberOfFrames is {count}")
    return own


def _attributes_of(path: Path) -> dict[str, Any]:
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that do not keep to the standard
        try:
            syntax = text_of({"uid": pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID")}, "uid")
            if syntax == _DEFLATED:
                _check_deflated(path)
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
            return {"TransferSyntaxUID": syntax, **dict(_readable(dataset))}
        except _UnusableFile:
            raise
        except Exception as error:  # damaged files raise anything
            raise _UnusableFile("has a damaged header") from error


def _readable(dataset: Any) -> Iterator[tuple[str, Any]]:
    """Keyword and value of each attribute whose value can be read."""
    for tag in [*dataset.keys()]:  # iterating over a data set reads the values
        try:
            element = dataset[tag]
        except Exception:  # a value that does not fit its kind raises anything
            continue
        if element.keyword:
            yield element.keyword, element.value


def _check_deflated(path: Path) -> None:
    """Refuse a file whose content grows out of proportion.

    Raises:
        _UnusableFile: it does.
    """
    stored, found = path.stat().st_size, 0
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as file:
        start = file.read(_READ_AT_ONCE)
        # The group of file meta information, of the length that its first element gives, is not compressed.
        data = start[144 + int.from_bytes(start[140:144], "little") :]
        while data and not engine.eof:
            found += len(engine.decompress(data, _READ_AT_ONCE))
            if found > max(_SMALL, stored * _MOST_COMPRESSION // 10):
                raise _UnusableFile("is compressed out of proportion")
            data = engine.unconsumed_tail or file.read(_READ_AT_ONCE)


def _values_in(groups: Sequence[Any]) -> dict[str, Any]:
    """Attributes in the functional groups of a frame; each group is a sequence of one item."""
    items = (element.value[0] for group in groups for element in group if element.VR == "SQ" and element.value)
    return {keyword: value for item in items for keyword, value in _readable(item)}


def _check_image(header: dict[str, Any], path: Path) -> None:
    """Pass the header of an image of gray values that the file is large enough for.

    Raises:
        _UnusableFile: it is none; without a reason for reports and the like.
    """
    rows, columns = number_of(header, "Rows"), number_of(header, "Columns")
    if not rows or not columns or rows < 0 or columns < 0:
        is_image = "Image" in getattr(header.get("SOPClassUID"), "name", "")
        raise _UnusableFile("has no Rows and Columns, or its header is cut" if is_image else "")
    samples = number_of(header, "SamplesPerPixel") or 1
    kind = text_of(header, "PhotometricInterpretation")
    if samples in (3, 4) and kind in _COLORS:
        raise _UnusableFile("is a color picture (secondary capture), not a scan")
    if samples != 1 or (kind and not kind.startswith("MONOCHROME")):
        raise _UnusableFile("holds colors, vectors or complex numbers")
    bits = number_of(header, "BitsAllocated") or 16
    claimed = rows * columns * max(1.0, number_of(header, "NumberOfFrames") or 1) * bits / 8
    most = 1 if header["TransferSyntaxUID"] in _NATIVE_SYNTAXES else _MOST_COMPRESSION
    if claimed > path.stat().st_size * most:
        raise _UnusableFile("has fewer voxels than its Rows, Columns and NumberOfFrames say")


def _slice(path: Path, frame: int, header: Mapping[str, Any]) -> Slice:
    position, cosines, spacing = (
        _numbers(header, keyword, count) for keyword, count in zip(_PLACE, (3, 6, 2), strict=True)
    )
    directions = cosines.reshape(2, 3).T
    if not are_orthonormal(directions):
        raise _UnusableFile("has an ImageOrientationPatient whose two directions are no unit vectors at right angles")
    if spacing.min() <= 0:
        raise _UnusableFile("has a PixelSpacing that is not above 0")
    return Slice(path, frame, header, position, directions * spacing[::-1])


def _numbers(header: Mapping[str, Any], keyword: str, count: int) -> NDArray[np.float64]:
    """The finite numbers of an attribute.

    Raises:
        _UnusableFile: it is absent or holds anything else.
    """
    value = header.get(keyword)
    if value is None or not str(value):
        raise _UnusableFile(f"has no {keyword}")
    try:
        numbers = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise _UnusableFile(f"has an invalid {keyword}") from error
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise _UnusableFile(f"has an invalid {keyword}")
    return numbers
