"""Registers, resamples, splits and writes the scans of every subject, and a manifest of them."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from tqdm import tqdm

from ...background import with_zero_background
from ...errors import UserError
from ...files import atomic_path
from ...intensity import head_mask
from ...masks import read_label_volume
from ...volume import read_volume
from ...work_folder import open_work_folder, write_json
from ..bias_field import correct_bias_field
from .images import straightened, to_image
from .registration import Registration, register
from .scans import Scan, Subjects, find_scans
from .tissues import TISSUE_SUFFIX, tissue_means, tissues_of_dlmuse

MANIFEST = "manifest.json"
# Two scans of one head that overlap less have not been aligned.
_MINIMUM_OVERLAP = 0.8
# Two scans of one head have 1.3 to 2.1, whatever their contrasts; other pictures about 1.
_MINIMUM_DISTINCTION = 1.2
_PAPER_TRAINING, _PAPER_TEST = 100, 25
# Where the head's slices lie, from the feet up, that stand for a subject in the paper's split.
_PAPER_HEIGHTS = (0.5, 0.6, 0.7)

Record = dict[str, Any]


@dataclass(frozen=True)
class PreparationOptions:
    """What the user chooses; see `lmidiffusion prepare --help`."""

    data: Path
    output: Path
    target: str
    sources: list[str]
    labels: str | None
    spacing: float | None
    correct_bias: bool
    held_out: int
    paper_split: bool
    seed: int

    def settings(self) -> Record:
        """All that changes the written files."""
        chosen = dataclasses.asdict(self)
        del chosen["output"]
        return {**chosen, "data": str(self.data.resolve())}


def prepare(options: PreparationOptions) -> list[str]:
    """Prepare all subjects, or go on where an earlier call with the same options was stopped.

    Writes OUTPUT/train/NAME_<target>.nii.gz, OUTPUT/test/NAME_<modality>.nii.gz for target and sources on one grid,
    OUTPUT/test/<source>.csv for `evaluate`, and OUTPUT/manifest.json. Anatomical labels, where a test subject has them,
    become OUTPUT/test/NAME_tissue.nii.gz.

    Returns:
        One line about every subject that was left out, with the reason.

    Raises:
        UserError: nothing can be prepared, or the output holds something else.
    """
    kinds = [options.target, *options.sources, *([options.labels] if options.labels else [])]
    subjects = find_scans(options.data, kinds)
    complete = {name: scans for name, scans in subjects.items() if not _missing(scans, options)}
    parts = _split(complete, options)
    manifest = _open_manifest(options)
    for name, scans in subjects.items():
        if name not in complete:
            manifest["left_out"][name] = f"has no {', '.join(_missing(scans, options))}"
    for name, part in tqdm(parts, desc="Preparing", unit="subject", disable=None):
        if name not in manifest["subjects"] and name not in manifest["left_out"]:
            _prepare_subject(name, part, complete[name], options, manifest)
            write_json(options.output / MANIFEST, manifest)
    write_json(options.output / MANIFEST, manifest)
    _write_pairs(options, manifest)
    return [f"{name} {reason}" for name, reason in sorted(manifest["left_out"].items())]


def _missing(scans: dict[str, Scan], options: PreparationOptions) -> list[str]:
    return [modality for modality in (options.target, *options.sources) if modality not in scans]


def _split(subjects: Subjects, options: PreparationOptions) -> list[tuple[str, str]]:
    """(name, part) in the order of names; test subjects are drawn by the seed."""
    test, training = (_PAPER_TEST, _PAPER_TRAINING) if options.paper_split else (options.held_out, None)
    needed = test + (training or 1)
    if len(subjects) < needed:
        raise UserError(
            f"Only {len(subjects)} subjects have all of {', '.join([options.target, *options.sources])};"
            f" {needed} or more are needed."
        )
    drawn = [sorted(subjects)[i] for i in np.random.default_rng(options.seed).permutation(len(subjects))]
    stop = None if training is None else test + training
    parts = dict.fromkeys(drawn[:test], "test") | dict.fromkeys(drawn[test:stop], "train")
    return sorted(parts.items())


def _open_manifest(options: PreparationOptions) -> Record:
    open_work_folder(options.output, options.settings())
    for part in ("train", "test"):
        (options.output / part).mkdir(exist_ok=True)
    path = options.output / MANIFEST
    if not path.exists():
        return {"subjects": {}, "left_out": {}}
    try:
        manifest: Record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged; choose a new folder.") from error
    return manifest


def _prepare_subject(
    name: str, part: str, scans: dict[str, Scan], options: PreparationOptions, manifest: Record
) -> None:
    try:
        images, record = _aligned(part, scans, options)
    except UserError as error:
        manifest["left_out"][name] = f"could not be used: {error}"
        return
    except RuntimeError as error:  # all that SimpleITK raises
        manifest["left_out"][name] = f"could not be registered: {_reason(error)}"
        return
    doubts = _doubts(record)
    if doubts:
        manifest["left_out"][name] = f"could not be registered ({'; '.join(doubts)})"
        return
    record["files"] = _write_all(name, part, images, options)
    manifest["subjects"][name] = record


def _reason(error: RuntimeError) -> str:
    """The first sentence of SimpleITK's last line, without where in its code that was."""
    last = str(error).strip().splitlines()[-1]
    return last.split("): ")[-1].split(". ")[0].removesuffix(".")


def _doubts(record: Record) -> list[str]:
    """What tells a failed registration, of each modality that has failed."""
    apart = [
        f"overlap of the heads: {modality} {overlap:.2f}"
        for modality, overlap in record["overlap"].items()
        if overlap < _MINIMUM_OVERLAP
    ]
    unclear = [
        f"{modality} has hardly more mutual information than after a half turn: {ratio:.2f} times as much"
        for modality, ratio in record["distinction"].items()
        if ratio < _MINIMUM_DISTINCTION
    ]
    return apart + unclear


def _aligned(part: str, scans: dict[str, Scan], options: PreparationOptions) -> tuple[dict[str, sitk.Image], Record]:
    """The images to write of a subject, by suffix, and what tells how well they are aligned."""
    target = straightened(_read(scans[options.target], options))
    if options.spacing is not None:
        target = _resampled(target, options.spacing)
    seen = sitk.Image(target.GetSize(), sitk.sitkUInt8) + 1
    seen.CopyInformation(target)
    images, record = {options.target: target}, Record(split=part, overlap={}, distinction={})
    for modality in options.sources:
        registration = _registered(scans, modality, target, options)
        images[modality] = registration.source
        record["overlap"][modality], record["distinction"][modality] = registration.overlap, registration.distinction
        seen = sitk.And(seen, registration.field_of_view)
    if part != "test":
        return {options.target: target}, record
    if options.labels in scans:
        images[TISSUE_SUFFIX], record["tissue_means"] = _tissues(scans[options.labels], target)
    # What no source has seen cannot be translated, and is no part of the pair.
    return {suffix: sitk.Mask(image, seen) for suffix, image in images.items()}, record


def _registered(scans: dict[str, Scan], modality: str, target: sitk.Image, options: PreparationOptions) -> Registration:
    source = _read(scans[modality], options)
    try:
        return register(source, target)
    except UserError as error:
        raise UserError(f"{modality} cannot be laid on {options.target}: {error}") from error


def _write_all(name: str, part: str, images: dict[str, sitk.Image], options: PreparationOptions) -> dict[str, str]:
    """Write a subject's images; the hash of each file by its path in the output."""
    chosen = _paper_slices(images[options.target]) if options.paper_split else None
    hashes = {}
    for suffix, image in images.items():
        path = options.output / part / f"{name}_{suffix}.nii.gz"
        _write(path, image, chosen)
        hashes[path.relative_to(options.output).as_posix()] = _hash(path)
    return hashes


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tissues(labels: Scan, target: sitk.Image) -> tuple[sitk.Image, list[float]]:
    """Tissues on the target's grid, and the target's mean intensity in each."""
    with labels.as_file() as path:
        image = to_image(read_label_volume(path))
    resampled = sitk.Resample(image, target, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    tissues = tissues_of_dlmuse(sitk.GetArrayFromImage(resampled))
    means = tissue_means(tissues, sitk.GetArrayViewFromImage(target))
    found = sitk.GetImageFromArray(tissues)
    found.CopyInformation(target)
    return found, means


def _read(scan: Scan, options: PreparationOptions) -> sitk.Image:
    with scan.as_file() as path:
        volume = read_volume(path)
    # Resampling fills up with zero, so air must be zero.
    values = with_zero_background(volume.array.astype(np.float64)).astype(np.float32)
    image = sitk.DICOMOrient(to_image(volume.with_array(values)), "LPS")
    if not options.correct_bias:
        return image
    corrected = sitk.GetImageFromArray(correct_bias_field(sitk.GetArrayFromImage(image)))
    corrected.CopyInformation(image)
    return corrected


def _resampled(image: sitk.Image, spacing: float) -> sitk.Image:
    """On cubic voxels, smoothed first where these are larger."""
    sizes = [max(1, round(n * s / spacing)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    sigmas = [max(0.0, (spacing**2 - s**2) / 8) ** 0.5 + 1e-3 for s in image.GetSpacing()]
    smooth = sitk.SmoothingRecursiveGaussian(image, sigmas) if max(sigmas) > 0.1 else image
    origin = image.TransformContinuousIndexToPhysicalPoint(
        [(spacing / s - 1) / 2 for s in image.GetSpacing()]  # the outer faces of the field of view stay
    )
    return sitk.Resample(
        smooth, sizes, sitk.Transform(), sitk.sitkLinear, origin, [spacing] * 3, image.GetDirection(), 0.0
    )


def _paper_slices(target: sitk.Image) -> list[int]:
    """Indices, from the feet up, of three slices between the head's lowest and highest one."""
    head: NDArray[np.bool_] = head_mask(sitk.GetArrayFromImage(target)).mean((1, 2)) > 0.02
    lowest, highest = np.flatnonzero(head)[[0, -1]]
    return [round(float(lowest + height * (highest - lowest))) for height in _PAPER_HEIGHTS]


def _write(path: Path, image: sitk.Image, slices: list[int] | None) -> None:
    if slices is not None:
        step = slices[1] - slices[0]
        image = image[:, :, slices[0] : slices[0] + 2 * step + 1 : step]
    with atomic_path(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)


def _write_pairs(options: PreparationOptions, manifest: Record) -> None:
    for source in options.sources:
        with (
            atomic_path(options.output / "test" / f"{source}.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(["source", "target", "mask"])
            writer.writerows(_rows(source, options.target, manifest))


def _rows(source: str, target: str, manifest: Record) -> Iterator[tuple[str, str, str]]:
    for name, record in sorted(manifest["subjects"].items()):
        if record["split"] == "test":
            mask = f"{name}_{TISSUE_SUFFIX}.nii.gz" if "tissue_means" in record else ""
            yield f"{name}_{source}.nii.gz", f"{name}_{target}.nii.gz", mask
