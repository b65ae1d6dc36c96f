"""Damaged files of all formats, each read in a fork: a crash, a hang or a gigabyte is an outcome like others."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import signal
import struct
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pydicom
import SimpleITK as sitk
from dicom_files import save_enhanced, save_series
from grids import AFFINES, Affine
from pydicom.data import get_testdata_file
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import Volume, read_volume

SECONDS, MEBIBYTES = 20, 1024
"""A file that takes longer counts as a hang; one that takes more memory, as a bomb."""

ACCEPTED, OTHER_PLACE, REFUSED, NO_SENTENCE, TRACEBACK, SIGNAL, HANG, MEMORY = (
    *("accepted", "accepted elsewhere", "refused", "refused in more than a sentence"),
    *("traceback", "signal", "hang", "memory"),
)
BAD = (OTHER_PLACE, NO_SENTENCE, TRACEBACK, SIGNAL, HANG, MEMORY)
"""Outcomes that no file may have."""

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NASTY = (
    *("", "0", "-1", "1", "2", "100", "65536", "2147483647", "-2147483648", "1e300", "-1e300", "inf", "nan", "1e-300"),
    *("%s%s%s%n 1 9 1", "LIST", "LOCAL", "/proc/self/environ", "../x.raw", "x" * 3000, "1 " * 300, "True", "gzip"),
    *("ascii", "raw", "(1,0,0) (0,1,0) none", "1 0 0 0 1 0 0 0 1", "1100 1100 1100", "\\xff\\x00", "none", "0 0 0"),
)
_NUMBERS = (0, -1, 1, 2, 7, 255, 32767, -32768, 2**31 - 1, -(2**31))
_REALS = (0.0, -1.0, 1e-30, 1e30, 3e38, float("inf"), float("-inf"), float("nan"))
_PROBABLE_UNITS = (1.0, 10.0, 1000.0, 0.001)
_VOLUME = Volume(np.random.default_rng(0).integers(0, 900, (6, 7, 5)).astype(np.int16), AFFINES["oblique"])


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        save: writes a sound one into a folder and returns what is to be read.
        reference: the affine that another reader finds; None if it cannot read the file.
        header: bytes at the start where damage is likely to matter.
    """

    save: Callable[[Path], Path]
    reference: Callable[[Path], Affine | None]
    header: int = 400


@dataclass(frozen=True)
class Outcome:
    """Outcome of reading one file: kind, message, and peak memory in mebibytes."""

    kind: str
    message: str
    mebibytes: float


# Sound files ----------------------------------------------------------------------------------------------------------


def _by_itk(name: str, *, packed: bool = False) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        affine = _LPS @ _VOLUME.affine
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        image = sitk.GetImageFromArray(np.ascontiguousarray(_VOLUME.array.T))
        image.SetSpacing(spacing.tolist())
        image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        sitk.WriteImage(image, str(folder / name), packed)
        return folder / name

    return save


def _by_pynrrd(encoding: str) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        affine = _LPS @ _VOLUME.affine
        fields = {
            "space": "left-posterior-superior",
            "space directions": affine[:3, :3].T,
            "space origin": affine[:3, 3],
            "encoding": encoding,
        }
        nrrd.write(str(folder / "scan.nrrd"), _VOLUME.array, fields)
        return folder / "scan.nrrd"

    return save


def _by_nibabel(kind: Any, name: str) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        image = kind(_VOLUME.array, _VOLUME.affine if kind is not nib.Spm99AnalyzeImage else np.diag([-1, 1, 3, 1.0]))
        nib.save(image, folder / name)
        return folder / name

    return save


def _series(syntax: UID | None) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        volume = Volume(np.tile(_VOLUME.array, (6, 6, 1))[:, :, :3], _VOLUME.affine)
        for path in save_series(folder / "series", volume):
            if syntax is None:
                continue
            dataset = pydicom.dcmread(path)
            if syntax == DeflatedExplicitVRLittleEndian:
                dataset.file_meta.TransferSyntaxUID = syntax
            else:
                dataset.compress(syntax)
            dataset.save_as(path)
        return folder / "series"

    return save


def _sample(name: str) -> Callable[[Path], Path]:
    """A compressed slice of a scanner, which comes with pydicom."""

    def save(folder: Path) -> Path:
        (folder / "series").mkdir()
        shutil.copy(str(get_testdata_file(f"{name}.dcm")), folder / "series")
        return folder / "series"

    return save


def _enhanced(folder: Path) -> Path:
    return save_enhanced(folder / "scan.dcm", _VOLUME, [2, 0, 1, 4, 3])


# Other readers --------------------------------------------------------------------------------------------------------


def _affine_of_nrrd(path: Path) -> Affine | None:
    header = nrrd.read_header(str(path))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.transpose(header["space directions"]), header["space origin"]
    signs = {"left-posterior-superior": _LPS, "right-anterior-superior": np.eye(4)}
    return signs.get(header.get("space", "left-posterior-superior"), _LPS) @ affine


def _affine_of_itk(path: Path) -> Affine | None:
    image = sitk.ReadImage(str(path))
    if image.GetDimension() != 3:
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return _LPS @ affine


def _affine_of_nibabel(path: Path) -> Affine | None:
    return np.asarray(nib.load(path).affine)  # type: ignore[attr-defined]


def _affine_of_nifti(path: Path) -> Affine | None:
    """The rows of the sform, or the matrix of the quaternion, as the standard has it, without a library."""
    data = path.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    order = "<" if 1 <= struct.unpack_from("<h", data, 40)[0] <= 7 else ">"
    qform, sform = struct.unpack_from(f"{order}2h", data, 252)
    affine = np.eye(4)
    if sform > 0:
        affine[:3] = np.reshape(struct.unpack_from(f"{order}12f", data, 280), (3, 4))
        return affine
    if qform <= 0:
        return None
    b, c, d, *offset = struct.unpack_from(f"{order}6f", data, 256)
    sizes = struct.unpack_from(f"{order}4f", data, 76)
    a = max(0.0, 1 - b * b - c * c - d * d) ** 0.5
    rotation = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
    steps = np.abs(sizes[1:]) * [1, 1, -1 if sizes[0] < 0 else 1]
    affine[:3, :3], affine[:3, 3] = np.array(rotation) * steps, offset
    return affine


def _affine_of_series(path: Path) -> Affine | None:
    """From the headers of all files, by their positions along the normal of the first."""
    slices = [pydicom.dcmread(each) for each in sorted(path.iterdir())]
    cosines = np.reshape([float(each) for each in slices[0].ImageOrientationPatient], (2, 3))
    positions = np.array([[float(x) for x in each.ImagePositionPatient] for each in slices])
    order = np.argsort(positions @ np.cross(*cosines))
    affine = np.eye(4)
    affine[:3, :2] = cosines.T * [float(each) for each in slices[0].PixelSpacing][::-1]
    affine[:3, 2] = (positions[order[-1]] - positions[order[0]]) / (len(slices) - 1)
    affine[:3, 3] = positions[order[0]]
    return _LPS @ affine


def _unknown(path: Path) -> Affine | None:
    return None


KINDS: dict[str, Kind] = {
    "NRRD": Kind(_by_pynrrd("raw"), _affine_of_nrrd),
    "NRRD gzip": Kind(_by_pynrrd("gzip"), _affine_of_nrrd),
    "NRRD bzip2": Kind(_by_pynrrd("bzip2"), _affine_of_nrrd),
    "NRRD ascii": Kind(_by_pynrrd("ascii"), _affine_of_nrrd),
    "MetaImage": Kind(_by_itk("scan.mha"), _affine_of_itk),
    "MetaImage packed": Kind(_by_itk("scan.mha", packed=True), _affine_of_itk),
    "MetaImage pair": Kind(_by_itk("scan.mhd"), _affine_of_itk),
    "MGH": Kind(_by_nibabel(nib.MGHImage, "scan.mgh"), _affine_of_nibabel, 284),
    "MGZ": Kind(_by_nibabel(nib.MGHImage, "scan.mgz"), _affine_of_nibabel, 284),
    "Analyze": Kind(_by_nibabel(nib.Spm99AnalyzeImage, "scan.hdr"), _unknown, 348),
    "NIfTI pair": Kind(_by_nibabel(nib.Nifti1Pair, "scan.hdr"), _unknown, 348),
    "NIfTI": Kind(_by_nibabel(nib.Nifti1Image, "scan.nii"), _affine_of_nifti, 352),
    "NIfTI gzip": Kind(_by_nibabel(nib.Nifti1Image, "scan.nii.gz"), _affine_of_nifti, 352),
    "NIfTI-2": Kind(_by_nibabel(nib.Nifti2Image, "scan.nii"), _unknown, 544),
    "DICOM series": Kind(_series(None), _affine_of_series, 1200),
    "DICOM RLE": Kind(_series(RLELossless), _affine_of_series, 1200),
    "DICOM JPEG 2000": Kind(_sample("MR_small_jp2klossless"), _unknown, 1200),
    "DICOM JPEG-LS": Kind(_sample("MR_small_jpeg_ls_lossless"), _unknown, 1200),
    "DICOM deflated": Kind(_series(DeflatedExplicitVRLittleEndian), _affine_of_series, 1200),
    "DICOM enhanced": Kind(_enhanced, _unknown, 3000),
}


# Damage ---------------------------------------------------------------------------------------------------------------


def _damage_bytes(data: bytearray, generator: np.random.Generator, header: int) -> None:
    end = max(1, min(header, len(data)))
    for _ in range(generator.integers(1, 6)):
        data[generator.integers(end)] = generator.integers(256)


def _damage_number(data: bytearray, generator: np.random.Generator, header: int) -> None:
    form, values = [("h", _NUMBERS), ("i", _NUMBERS), ("f", _REALS), ("d", _REALS)][generator.integers(4)]
    order = "<>"[generator.integers(2)]
    size = struct.calcsize(form)
    offset = int(generator.integers(max(1, min(header, len(data)) - size))) // 2 * 2
    value = values[generator.integers(len(values))]
    if form == "h":
        value = max(-(2**15), min(2**15 - 1, value))
    if offset + size <= len(data):
        struct.pack_into(order + form, data, offset, value)


def _damage_field(data: bytearray, generator: np.random.Generator, header: int) -> None:
    """Replace, remove or repeat a line of a text header."""
    lines = bytes(data[: header * 4]).split(b"\n")
    last = next((place for place, line in enumerate(lines) if not line or b"ElementDataFile" in line), len(lines) - 1)
    place = int(generator.integers(last + 1))
    name, separator, _ = lines[place].partition(b":" if b":" in lines[place] else b"=")
    choice = generator.integers(8)
    if choice == 0:
        del lines[place]
    elif choice == 1:
        lines.insert(place, lines[generator.integers(last + 1)])
    else:
        lines[place] = name + separator + b" " + _NASTY[generator.integers(len(_NASTY))].encode()
    data[: header * 4] = b"\n".join(lines)


def _truncate(data: bytearray, generator: np.random.Generator, header: int) -> None:
    del data[generator.integers(len(data) + 1) :]


def _lengthen(data: bytearray, generator: np.random.Generator, header: int) -> None:
    place = int(generator.integers(len(data) + 1))
    data[place:place] = generator.integers(0, 256, generator.integers(1, 5000), np.uint8).tobytes()


def _unpacked(data: bytearray) -> tuple[bytearray, Callable[[bytes], bytes]]:
    """The content of a packed file, and what packs it again: half of the damage is done inside."""
    if data[:2] == b"\x1f\x8b":
        return bytearray(gzip.decompress(data)), lambda inner: gzip.compress(inner, 1)
    return data, bytes


def _damaged(data: bytes, generator: np.random.Generator, header: int, *, is_text: bool) -> bytes:
    inner, pack = _unpacked(bytearray(data)) if generator.random() < 0.7 else (bytearray(data), bytes)
    ways = [_damage_bytes, _damage_number, _truncate, _lengthen] + [_damage_field] * (6 if is_text else 0)
    ways[generator.integers(len(ways))](inner, generator, header)
    return pack(bytes(inner))


def _damage_dataset(path: Path, generator: np.random.Generator) -> None:
    """Give an attribute of a DICOM file another value, or none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        names = [element.keyword for element in dataset if element.keyword not in ("", "PixelData")]
        name = names[generator.integers(len(names))]
        values: list[Any] = [None, "", "abc", "1\\2\\3\\4\\5\\6\\7", -1, 0, 1, 65535, "1e300", [1.0, "x"], "\x1b[31m"]
        try:
            setattr(dataset, name, values[generator.integers(len(values))])
            dataset.save_as(path)
        except Exception:
            path.write_bytes(_damaged(path.read_bytes(), generator, 1200, is_text=False))


def damaged_file(name: str, seed: int, folder: Path) -> Path:
    """Write a sound file of a kind into a folder, damage it, and return what is to be read."""
    kind, generator = KINDS[name], np.random.default_rng([zlib.crc32(name.encode()), seed])
    source = kind.save(folder)
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    path = files[generator.integers(len(files))] if source.is_dir() or generator.random() < 0.2 else source
    if name.startswith("DICOM") and generator.random() < 0.6:
        for each in files if generator.random() < 0.3 else [path]:
            _damage_dataset(each, generator)
    else:
        is_text = name.startswith(("NRRD", "MetaImage"))
        path.write_bytes(_damaged(path.read_bytes(), generator, kind.header, is_text=is_text))
    return source


# Outcomes -------------------------------------------------------------------------------------------------------------


def outcome_of(path: Path, reference: Callable[[Path], Affine | None] = _unknown) -> Outcome:
    """Read a file in a fork, and compare its place with that of another reader."""
    answer = tempfile.TemporaryFile()  # noqa: SIM115
    process = os.fork()
    if process == 0:
        _read_in_child(path, reference, answer.fileno())
    deadline = time.monotonic() + SECONDS
    while True:
        done, status, used = os.wait4(process, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            os.wait4(process, 0)
            return Outcome(HANG, str(path), 0.0)
        time.sleep(0.002)
    answer.seek(0)
    kind, _, message = answer.read().decode(errors="replace").partition("\n")
    answer.close()
    mebibytes = used.ru_maxrss / 1024
    if not kind:
        return Outcome(SIGNAL, f"status {os.waitstatus_to_exitcode(status)}", mebibytes)
    return Outcome(MEMORY if mebibytes > MEBIBYTES else kind, message, mebibytes)


def _read_in_child(path: Path, reference: Callable[[Path], Affine | None], answer: int) -> None:
    """Write a kind of outcome and a message; whoever dies before wrote nothing."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    warnings.simplefilter("ignore")
    found = None
    try:
        found = read_volume(path)
        kind, message = ACCEPTED, ""
    except UserError as error:
        message = str(error)
        # A choice among series is a sentence and a line for each.
        is_sentence = (message.endswith(".") and "\n" not in message) or "choose one by its number" in message
        kind = REFUSED if is_sentence else NO_SENTENCE
    except BaseException as error:
        kind, message = TRACEBACK, f"{type(error).__name__}: {error}"
    os.pwrite(answer, f"{kind}\n{message}".encode(errors="replace"), 0)
    if found is not None:
        try:
            expected = reference(path)
        except BaseException:
            expected = None
        if expected is not None and _is_whole(found, path) and not _are_alike(found.affine, expected):
            message = f"{found.affine.round(3).tolist()} and not {expected.round(3).tolist()}"
            os.pwrite(answer, f"{OTHER_PLACE}\n{message}".encode(), 0)
    os._exit(0)


def _is_whole(found: Volume, path: Path) -> bool:
    """True but for a series of which a file was left out with a notice."""
    return not path.is_dir() or found.array.shape[2] == len([*path.iterdir()])


def _are_alike(one: Affine, other: Affine) -> bool:
    """True for affines that agree but for a unit that one of the readers does not know."""
    return any(
        np.allclose(one, np.diag([factor, factor, factor, 1.0]) @ other, rtol=1e-3, atol=1e-3)
        for factor in _PROBABLE_UNITS
    )


def outcomes(count: int, *, first_seed: int = 0) -> Iterator[tuple[str, int, Outcome]]:
    """Read `count` damaged files, in turn of all kinds: the kind, the seed and the outcome of each."""
    names = [*KINDS]
    for number in range(count):
        name, seed = names[number % len(names)], first_seed + number // len(names)
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            path = damaged_file(name, seed, folder)
            yield name, seed, outcome_of(path, KINDS[name].reference)
        finally:
            shutil.rmtree(folder)


def table(results: list[tuple[str, int, Outcome]]) -> str:
    """Return a Markdown table of the number of files by kind and outcome."""
    counts = Counter((name, outcome.kind) for name, _, outcome in results)
    kinds = (ACCEPTED, REFUSED, *BAD)
    rows = [f"| kind | files | {' | '.join(kinds)} | MiB at most |", "|---" * (len(kinds) + 3) + "|"]
    for name in KINDS:
        own = [outcome for each, _, outcome in results if each == name]
        most = max((outcome.mebibytes for outcome in own), default=0.0)
        cells = " | ".join(str(counts[name, kind]) for kind in kinds)
        rows.append(f"| {name} | {len(own)} | {cells} | {most:.0f} |")
    return "\n".join(rows)
