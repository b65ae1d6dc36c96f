"""DICOM series: a list of those in a folder, and one of them as a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...interface.notices import Notice, NoticeKind, Notices
from ..itk import LPS_FROM_RAS
from ..plausibility import FEWEST_SLICES
from .grouping import Stack, multiplicity, stacks_of
from .headers import SkippedFile, Slice, number_of, read_slices, text_of
from .voxels import planes_of

_UNEVEN, _GAP = 0.02, 1.5  # of the distance between slices
# Millimeters that a position may be off if it was rounded to a tenth, and the share of the distance between slices.
_ROUNDED, _MOST_ROUNDED = 0.09, 0.15
_MOST_NAMED, _MOST_LISTED = 3, 20
_OF_MR = ("", "MR", "OT")  # some programs call what they make of a scan "other"


@dataclass(frozen=True)
class Series:
    """One of several DICOM series.

    Attributes:
        path: folder, or file of many frames.
        number: from 1, as in the list of the error that is raised where no number is given.
    """

    path: Path
    number: int

    def __str__(self) -> str:
        return f"{self.path}, series {self.number}"


class SeveralSeries(UserError):
    """There are several series, of which none was chosen.

    Attributes:
        listed: a word on each of them, with its number, in one line.
    """

    def __init__(self, series: Sequence[str], *, place: object) -> None:
        numbered = [f"{number}: {text}" for number, text in enumerate(series[:_MOST_LISTED], 1)]
        numbered += ["and so on"] if len(series) > _MOST_LISTED else []
        self.listed = "; ".join(numbered)
        lines = "\n".join(f"  {line}" for line in numbered)
        super().__init__(
            f"holds {len(series)} DICOM series; choose one by its number (--series N):\n{lines}", place=place
        )


def read_series(source: Path | Series) -> tuple[NDArray[np.number], NDArray[np.float64], Notices]:
    """Read a series as one volume.

    Order and distance of slices come from their positions alone. A volume is what lies in one series of one patient and
    study with one orientation, and where there are several images of one place, with one echo time, image type, or the
    like.

    Returns:
        Voxels (columns, rows, slices), the affine in millimeters (right-anterior-superior), and notices about files
        that were left out.

    Raises:
        UserError: there is no series, several of which none is chosen, or one that makes no regular grid: slices are
            missing, doubled, or not in line.
    """
    path = source.path if isinstance(source, Series) else source
    slices, skipped = read_slices(path)
    if not slices:
        raise _nothing_usable(source, skipped)
    stack = _chosen(stacks_of(slices, planes_of), source)
    if len(stack.slices) == 1 and path.is_file() and not stack.slices[0].is_frame:
        raise UserError(f"is one slice of a DICOM series; give its folder {path.absolute().parent}.", place=path)
    ordered, first, step = _in_order(stack, source)
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 2], affine[:3, 3] = ordered[0].axes, step, first
    notices = [*_skipping_notices(stack, skipped, source), *_merging_notices(stack, source)]
    notices += _modality_notices(stack, source)
    array = np.stack([plane.T for plane in planes_of(ordered)], axis=-1)
    return array, LPS_FROM_RAS @ affine, tuple(notices)


def _nothing_usable(source: Path | Series, skipped: list[SkippedFile]) -> UserError:
    path = source.path if isinstance(source, Series) else source
    if path.is_file() and skipped:
        return UserError(f"{skipped[0].reason}; give a folder of DICOM files.", place=path)
    if path.is_dir() and not any(path.iterdir()):
        return UserError("is empty; give a scan's file or DICOM folder.", place=path)
    if not skipped:
        return UserError("holds no DICOM image; give a scan's file or DICOM folder.", place=source)
    reasons = f"{skipped[0].path.name} {skipped[0].reason}" + _and_more(len(skipped) - 1)
    return UserError(f"holds no DICOM image that can be used ({reasons}); export the series again.", place=source)


def _and_more(count: int) -> str:
    return f", and so on for {count} other{'s' if count > 1 else ''}" if count else ""


def _skipping_notices(stack: Stack, skipped: list[SkippedFile], source: Path | Series) -> Notices:
    """One notice about the files that may have belonged to the volume."""
    series = {text_of(each.header, "SeriesInstanceUID") for each in stack.slices}
    missed = [f"{each.path.name} {each.reason}" for each in skipped if not each.series or each.series in series]
    missed += [f"{each.name} is a secondary image" for each in stack.captures]
    if not missed:
        return ()
    more = _and_more(max(0, len(missed) - _MOST_NAMED))
    text = f"is read without some of its files: {'; '.join(missed[:_MOST_NAMED])}{more}."
    return (Notice(NoticeKind.FILE_NAME, str(source), text),)


def _merging_notices(stack: Stack, source: Path | Series) -> Notices:
    if not stack.is_merged:
        return ()
    text = "has another SeriesInstanceUID in every slice; all slices were taken for one series."
    return (Notice(NoticeKind.FILE_NAME, str(source), text),)


def _modality_notices(stack: Stack, source: Path | Series) -> Notices:
    modality = stack.text("Modality")
    if modality in _OF_MR:
        return ()
    return (Notice(NoticeKind.PLAUSIBILITY, str(source), f"is of the modality {modality}; give a scan by MR."),)


def _chosen(stacks: list[Stack], source: Path | Series) -> Stack:
    number = source.number if isinstance(source, Series) else 1 if len(stacks) == 1 else None
    if number is not None and 1 <= number <= len(stacks):
        return stacks[number - 1]
    path = source.path if isinstance(source, Series) else source
    raise SeveralSeries([_described(stack, path) for stack in stacks], place=path)


def _described(stack: Stack, folder: Path) -> str:
    """Return description, slices, size of a voxel and folder of a series."""
    count, (first, *_) = len(stack.slices), stack.slices
    slices = f"{count} slice{'' if count == 1 else 's'}"
    few = ", too few for a head" if count <= FEWEST_SLICES else ""
    place = "" if first.is_frame and folder.is_file() else _below(first.path.parent, folder)
    return f"{stack}, {slices}{few}, {_voxel(stack)}{place}"


def _voxel(stack: Stack) -> str:
    """Return the size of a voxel in words; that between slices is left out where nothing tells it."""
    heights = sorted({round(each.height, 3) for each in stack.slices})
    sizes = [*np.linalg.norm(stack.slices[0].axes, axis=0)]
    if len(heights) > 1:
        sizes.append(float(np.median(np.diff(heights))))
    elif (thickness := number_of(stack.slices[0].header, "SliceThickness")) is not None:
        sizes.append(thickness)
    return f"{' x '.join(f'{each:.3g}' for each in sizes)} mm"


def _below(folder: Path, root: Path) -> str:
    below = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else "."
    return "" if below == "." else f", in {below}"


def _in_order(stack: Stack, source: Path | Series) -> tuple[list[Slice], NDArray[np.float64], NDArray[np.float64]]:
    """Slices along their normal, the position of the first one, and the step from one to the next, in millimeters.

    Raises:
        UserError: they make no regular grid.
    """
    slices = sorted(stack.slices, key=lambda each: each.height)
    if "MOSAIC" in stack.text("ImageType"):
        raise UserError("holds mosaics of slices; convert them to NIfTI by dcm2niix.", place=source)
    if len(slices) == 1:
        return slices, slices[0].position, _thickness(slices[0], source) * slices[0].normal
    if multiplicity(slices) > 1:
        text = "holds several images of one place which its headers do not tell apart"
        raise UserError(f"{text}; convert the volume you want to NIfTI by dcm2niix.", place=source)
    positions = np.array([each.position for each in slices])
    numbers = np.arange(len(slices))[:, None]
    step = (positions[-1] - positions[0]) / (len(slices) - 1)
    length = float(np.linalg.norm(step))
    if _farthest(positions, positions[0] + numbers * step) <= _UNEVEN * length:
        return slices, positions[0], step
    slope, start = np.polyfit(numbers[:, 0], positions, 1)
    if _farthest(positions, start + numbers * slope) <= min(_ROUNDED, _MOST_ROUNDED * length):
        return slices, start, slope
    raise _irregular(slices, source)


def _farthest(positions: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(positions - expected, axis=1).max())


def _thickness(only: Slice, source: Path | Series) -> float:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        value = number_of(only.header, keyword)
        if value is not None and value > 0:
            return value
    text = "is one slice without a SliceThickness or SpacingBetweenSlices; give the folder of the whole series."
    raise UserError(text, place=source)


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
        text = f"has slices {least:.3g} to {most:.3g} mm apart; give a series with even distances."
        return UserError(text, place=source)
    return UserError("has slices that do not lie in line; give a series that makes one block.", place=source)
