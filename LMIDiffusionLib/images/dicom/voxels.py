"""Voxels of DICOM slices: stored ones by pydicom, those of JPEG's kinds by SimpleITK in a process that may die."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from .headers import RESCALING, Slice, number_of

# Transfer syntaxes that pydicom decodes by itself: not compressed, deflated and run-length encoded.
_PLAIN = tuple(f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99", ".5"))
_START_SECONDS, _FILE_SECONDS = 12.0, 2.0
_MEMORY = 512 * 2**20  # bytes that decoding may take
_LIBRARY = Path(__file__).resolve().parents[3]

Plane = NDArray[np.number]
"""Voxels (rows, columns) of a slice."""


def planes_of(slices: Sequence[Slice]) -> list[Plane]:
    """Decode slices, each on the scale that its header gives.

    Raises:
        UserError: one is damaged, or compressed in an unknown way.
    """
    files: dict[Path, list[int]] = {}
    for index, each in enumerate(slices):
        files.setdefault(each.path, []).append(index)
    packed = [path for path, indices in files.items() if not _is_plain(slices[indices[0]])]
    with tempfile.TemporaryDirectory() as name:
        decoded = _decoded_elsewhere(packed, Path(name)) if packed else {}
        planes: dict[int, Plane] = {}
        for path, indices in files.items():
            own = [slices[index] for index in indices]
            found = _scaled_by_itk(own, decoded[path]) if path in decoded else _plain_planes(own)
            planes.update(zip(indices, found, strict=True))
    return [planes[index] for index in range(len(slices))]


def undecodable(path: Path) -> UserError:
    """Return the error about voxels that cannot be decoded."""
    return UserError("is damaged, or compressed in a way unknown here; copy it again or try dcm2niix.", place=path)


def _is_plain(each: Slice) -> bool:
    return str(each.header.get("TransferSyntaxUID") or _PLAIN[0]) in _PLAIN


def _shape(each: Slice) -> tuple[int, int]:
    return int(number_of(each.header, "Rows") or 0), int(number_of(each.header, "Columns") or 0)


def _scale(each: Slice) -> tuple[float, float]:
    slope, intercept = (number_of(each.header, keyword) for keyword in RESCALING)
    return slope or 1.0, intercept or 0.0


def _plain_planes(slices: Sequence[Slice]) -> list[Plane]:
    """Planes of one file that pydicom decodes."""
    path = slices[0].path
    frames = _stored_frames(path)
    planes = []
    for each in slices:
        if each.frame >= len(frames) or frames.shape[1:] != _shape(each):
            raise undecodable(path)
        slope, intercept = _scale(each)
        plane = frames[each.frame]
        planes.append(plane if (slope, intercept) == (1.0, 0.0) else plane * slope + intercept)
    return planes


def _stored_frames(path: Path) -> Plane:
    """Stored values (frames, rows, columns), of which more is brighter."""
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path)
            frames = _brighter(_stored_bits(dataset.pixel_array, dataset), dataset)
        except Exception as error:  # damaged files raise anything
            raise undecodable(path) from error
    return frames if frames.ndim == 3 else frames[None]


def _stored_bits(values: Plane, dataset: Any) -> Plane:
    """The bits that are the value's: others may hold overlays."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if values.dtype.kind not in "iu" or not 1 < stored < allocated:
        return values
    shift = int(dataset.HighBit) + 1 - stored
    if not 0 <= shift <= allocated - stored:
        raise ValueError("the bits of a value lie outside it")
    unsigned = values.view(values.dtype.str.replace("i", "u")) >> shift & (2**stored - 1)
    if dataset.PixelRepresentation == 0:
        return unsigned
    signed = unsigned.astype(np.int64)
    return np.where(signed >= 2 ** (stored - 1), signed - 2**stored, signed).astype(values.dtype)


def _brighter(values: Plane, dataset: Any) -> Plane:
    """Values of which more is brighter: they are reversed in MONOCHROME1."""
    if dataset.get("PhotometricInterpretation") != "MONOCHROME1" or values.dtype.kind not in "iu":
        return values
    return -1 - values if dataset.PixelRepresentation else 2 ** int(dataset.BitsStored) - 1 - values


def _scaled_by_itk(slices: Sequence[Slice], decoded: Path) -> list[Plane]:
    """Planes of one file that SimpleITK has decoded, with the first frame's scale for all."""
    path = slices[0].path
    if len({_scale(each) for each in slices}) > 1:
        text = "has frames on different scales in a compression that hides them; convert it to NIfTI by dcm2niix."
        raise UserError(text, place=path)
    frames = np.load(decoded)
    if any(each.frame >= len(frames) or frames.shape[1:] != _shape(each) for each in slices):
        raise undecodable(path)
    return [frames[each.frame] for each in slices]


def _decoded_elsewhere(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Arrays (frames, rows, columns), as files of numpy, that another process has decoded.

    Raises:
        UserError: it died, or took too long, at one of the files.
    """
    files = {path: folder / f"{number}.npy" for number, path in enumerate(paths)}
    request = json.dumps([[str(path.absolute()), str(file)] for path, file in files.items()])
    command = [sys.executable, "-m", __name__]
    seconds = _START_SECONDS + _FILE_SECONDS * len(paths)
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, input=request.encode(), cwd=_LIBRARY, capture_output=True, timeout=seconds, check=False)
    for path, file in files.items():
        if not file.exists():
            raise undecodable(path)
    return files


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:  # other systems do not keep the limit either
        return
    limit = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Decode the files that standard input names, each into a file of numpy, until one cannot be decoded."""
    import SimpleITK as sitk

    _limit_memory()
    for path, file in json.loads(sys.stdin.buffer.read()):
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(path)
        image = reader.Execute()
        array = sitk.GetArrayFromImage(image)
        if image.GetNumberOfComponentsPerPixel() > 1:
            raise ValueError("the voxels are not scalar")
        temporary = Path(f"{file}.part")
        with temporary.open("wb") as stream:
            np.save(stream, array.reshape(-1, *array.shape[-2:]))
        temporary.replace(file)


if __name__ == "__main__":
    main()
