"""DICOM series: which there are in a folder, and one of them as a volume, decoded by SimpleITK."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .dicom_headers import TRAITS, Slice, slices_in
from .itk import DICOM, LPS_FROM_RAS, array_of, read_itk_image

_NO_BRACKETS = str.maketrans("", "", "[]'")
_SAME_PLACE = 1e-3  # millimetres
_UNEVEN, _GAP = 0.02, 1.5  # of the distance between slices
_MOST_NAMED, _MOST_LISTED = 3, 20


@dataclass(frozen=True)
class Series:
    """One of several DICOM series.

    Attributes:
        path: folder, or file of many frames.
        number: from 1, as the error counts them that is raised where no number is given.
    """

    path: Path
    number: int

    def __str__(self) -> str:
        return f"{self.path}, series {self.number}"


@dataclass(frozen=True)
class _Stack:
    """Slices that make a volume, and what tells it from others of the series."""

    slices: list[Slice]
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        header = self.slices[0].header
        name = header.get("SeriesDescription") or header.get("ProtocolName") or "without a name"
        number = [] if header.get("SeriesNumber") is None else [f"scanner's number {header['SeriesNumber']}"]
        return f"{name} ({', '.join([*number, f'{len(self.slices)} slices', *self.details])})"


def read_series(source: Path | Series) -> tuple[NDArray[np.number], NDArray[np.float64]]:
    """The voxels of a series (columns, rows, slices) and its affine in millimetres (right-anterior-superior).

    Order and distance of slices come from their positions alone. A volume is what lies in one series with one
    orientation, and where there are several images of one place, with one echo time, image type, or the like.

    Raises:
        UserError: there is no series, several of which none is chosen, or one that makes no regular grid: slices are
            missing, doubled, or not in line.
    """
    path = source.path if isinstance(source, Series) else source
    stack = _chosen(_stacks(list(slices_in(path))), source)
    if len(stack.slices) == 1 and path.is_file():
        raise UserError("is one slice of a DICOM series; give the folder of its files.", place=path)
    slices, step = _in_order(stack, source)
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 2], affine[:3, 3] = slices[0].axes, step, slices[0].position
    return _voxels(slices, source), LPS_FROM_RAS @ affine


def _stacks(slices: list[Slice]) -> list[_Stack]:
    """Slices by the volume they belong to, in the order of the scanner's numbers."""
    series: list[list[Slice]] = []
    for each in slices:
        known = next((stack for stack in series if each.belongs_to(stack[0])), None)
        if known is None:
            series.append([each])
        else:
            known.append(each)
    stacks = [stack for each in series for stack in _told_apart(_Stack(each))]

    def order(stack: _Stack) -> tuple[float, str]:
        header = stack.slices[0].header
        number = header.get("SeriesNumber")
        return (np.inf if number is None else float(number), str(header.get("SeriesInstanceUID")))

    return sorted(stacks, key=order)


def _told_apart(stack: _Stack) -> list[_Stack]:
    """A stack, or the ones with one image of each place that it is made of."""
    if not _has_doubles(stack.slices):
        return [stack]
    divisions = [parts for trait in TRAITS if len(parts := _divided(stack, trait)) > 1]
    for parts in divisions:
        if not any(_has_doubles(part.slices) for part in parts):
            return parts
    return [each for part in divisions[0] for each in _told_apart(part)] if divisions else [stack]


def _divided(stack: _Stack, trait: str) -> list[_Stack]:
    parts: dict[str, list[Slice]] = defaultdict(list)
    for each in stack.slices:
        value = next((each.header[keyword] for keyword in TRAITS[trait] if keyword in each.header), "unknown")
        # pydicom's lists print as Python's.
        parts[str(value).translate(_NO_BRACKETS)].append(each)
    return [_Stack(slices, (*stack.details, f"{trait} {value}")) for value, slices in parts.items()]


def _has_doubles(slices: list[Slice]) -> bool:
    return bool((np.diff(sorted(each.height for each in slices)) < _SAME_PLACE).any())


def _chosen(stacks: list[_Stack], source: Path | Series) -> _Stack:
    if not stacks:
        raise UserError("holds no DICOM image with a place in space; give a scan's file or DICOM folder.", place=source)
    number = source.number if isinstance(source, Series) else 1 if len(stacks) == 1 else None
    if number is not None and 1 <= number <= len(stacks):
        return stacks[number - 1]
    path = source.path if isinstance(source, Series) else source
    listed = "; ".join(f"{index}: {stack}" for index, stack in enumerate(stacks[:_MOST_LISTED], 1))
    listed += "; and so on" if len(stacks) > _MOST_LISTED else ""
    raise UserError(f"holds {len(stacks)} DICOM series; choose one by its number (--series N) of {listed}.", place=path)


def _in_order(stack: _Stack, source: Path | Series) -> tuple[list[Slice], NDArray[np.float64]]:
    """Slices along their normal, and the step from one to the next in millimetres.

    Raises:
        UserError: they make no regular grid.
    """
    slices = sorted(stack.slices, key=lambda each: each.height)
    if "MOSAIC" in (slices[0].header.get("ImageType") or ()):
        raise UserError("holds mosaics of slices; convert them to NIfTI by dcm2niix.", place=source)
    if len(slices) == 1:
        header, normal = slices[0].header, np.cross(*slices[0].axes.T)
        thickness = header.get("SpacingBetweenSlices") or header.get("SliceThickness") or 1.0
        return slices, float(thickness) * normal / np.linalg.norm(normal)
    if _has_doubles(slices):
        raise UserError(
            f"{source} holds several images of one place which its headers do not tell apart;"
            " convert the volume you want to NIfTI by dcm2niix."
        )
    positions = np.array([each.position for each in slices])
    step = (positions[-1] - positions[0]) / (len(slices) - 1)
    off = positions - (positions[0] + np.arange(len(slices))[:, None] * step)
    if np.linalg.norm(off, axis=1).max() > _UNEVEN * np.linalg.norm(step):
        raise _irregular(slices, source)
    return slices, step


def _irregular(slices: list[Slice], source: Path | Series) -> UserError:
    distances = np.diff([each.height for each in slices])
    usual = float(np.median(distances))
    gaps = [pair for pair, distance in zip(pairwise(slices), distances, strict=True) if distance > _GAP * usual]
    if gaps:
        named = [f"between {first.name} and {second.name}" for first, second in gaps[:_MOST_NAMED]]
        more = f" and in {len(gaps) - _MOST_NAMED} other places" if len(gaps) > _MOST_NAMED else ""
        return UserError(f"lacks slices {', '.join(named)}{more}; copy the whole series again.", place=source)
    least, most = distances.min(), distances.max()
    if most - least > _UNEVEN * usual:
        return UserError(
            f"has slices {least:.3g} to {most:.3g} mm apart; give a series with even distances.", place=source
        )
    return UserError("has slices that do not lie in line; give a series that makes one block.", place=source)


def _voxels(slices: list[Slice], source: Path | Series) -> NDArray[np.number]:
    """Decoded voxels (columns, rows, slices) on the scale that the headers give.

    Raises:
        UserError: they are damaged, colours, in a compression that is not known, or on several scales in one file.
    """
    keywords = ("RescaleSlope", "RescaleIntercept")
    if len({tuple(each.header.get(keyword) for keyword in keywords) for each in slices if each.is_frame}) > 1:
        # SimpleITK takes the first frame's for all.
        raise UserError("has frames on different scales; convert it to NIfTI by dcm2niix.", place=source)
    files = {path: _frames(path) for path in dict.fromkeys(each.path for each in slices)}
    return np.stack([files[each.path][each.frame].T for each in slices], axis=-1)


def _frames(path: Path) -> NDArray[np.number]:
    """Those of a file (frames, rows, columns)."""
    return np.moveaxis(array_of(read_itk_image(path, DICOM, known_as=path)), -1, 0).swapaxes(1, 2)
