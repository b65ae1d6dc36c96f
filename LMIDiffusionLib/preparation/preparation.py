"""Registration, resampling and splitting of the scans of all subjects, with a manifest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from tqdm import tqdm

from ..errors import UserError
from ..images.files import atomic_path, write_csv
from ..images.normalization import head_mask
from ..interface.resources import file_hash
from ..runs.file_lists import bids_subject
from ..runs.run_directory import open_work_folder, write_json
from .alignment import Alignment, align, tissues_on
from .alignment_picture import draw_alignment
from .scans import RawScan, Subjects, find_scans
from .tissues import TISSUE_SUFFIX

MANIFEST = "manifest.json"
PICTURES = "pictures"
_PAPER_TRAINING, _PAPER_TEST = 100, 25
# Heights in the head, from the feet up, of a subject's three slices in the paper's split.
_PAPER_HEIGHTS = (0.5, 0.6, 0.7)

Record = dict[str, Any]


@dataclass(frozen=True)
class PreparationOptions:
    """Choices of `lmidiffusion prepare`; its `--help` explains them."""

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
        """Return the choices that change the written files."""
        chosen = dataclasses.asdict(self)
        del chosen["output"]
        return {**chosen, "data": str(self.data.resolve())}


def prepare(options: PreparationOptions) -> list[str]:
    """Prepare all subjects, or resume an earlier call with the same options.

    Writes OUTPUT/train/NAME_<target>.nii.gz, OUTPUT/test/NAME_<modality>.nii.gz for target and sources on one grid,
    OUTPUT/test/<source>.csv as a list of pairs for `benchmark`, OUTPUT/pictures/NAME.webp of every registration, failed
    ones included, and OUTPUT/manifest.json. The anatomical labels of a test subject become
    OUTPUT/test/NAME_tissue.nii.gz.

    Returns:
        One line with the reason for every subject that was left out.

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


def _missing(scans: dict[str, RawScan], options: PreparationOptions) -> list[str]:
    return [modality for modality in (options.target, *options.sources) if modality not in scans]


def _split(subjects: Subjects, options: PreparationOptions) -> list[tuple[str, str]]:
    """Return (name, part) sorted by name; the seed selects the test subjects."""
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
    for part in ("train", "test", PICTURES):
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
    name: str, part: str, scans: dict[str, RawScan], options: PreparationOptions, manifest: Record
) -> None:
    try:
        alignment = align(
            scans,
            target=options.target,
            sources=options.sources,
            spacing=options.spacing,
            correct_bias=options.correct_bias,
        )
        draw_alignment(options.output / PICTURES / f"{name}.webp", alignment)
        problems = alignment.problems()
        if problems:
            manifest["left_out"][name] = f"could not be registered ({'; '.join(problems)})"
            return
        images, record = _results(part, alignment, scans, options)
    except UserError as error:
        manifest["left_out"][name] = f"could not be used: {error}"
        return
    except RuntimeError as error:  # the only type that SimpleITK raises
        manifest["left_out"][name] = f"could not be registered: {_reason(error)}"
        return
    record["files"] = _write_all(name, part, images, options)
    manifest["subjects"][name] = record


def _reason(error: RuntimeError) -> str:
    """Return the first sentence of SimpleITK's last line, without the place in its code."""
    last = str(error).strip().splitlines()[-1]
    return last.split("): ")[-1].split(". ")[0].removesuffix(".")


def _results(
    part: str, alignment: Alignment, scans: dict[str, RawScan], options: PreparationOptions
) -> tuple[dict[str, sitk.Image], Record]:
    """Return the images of a subject by suffix, and the measures of their alignment."""
    registrations = alignment.registrations
    measures = {
        measure: {modality: getattr(each, measure) for modality, each in registrations.items()}
        for measure in ("overlap", "distinction", "handedness")
    }
    record = Record(split=part, **measures)
    images = {options.target: alignment.target}
    if part != "test":
        return images, record
    images |= {modality: each.source for modality, each in registrations.items()}
    if options.labels in scans:
        images[TISSUE_SUFFIX], record["tissue_means"] = tissues_on(alignment.target, scans[options.labels])
    seen = alignment.seen_by_all()
    # Voxels outside a source's field of view cannot be translated and are cut from the pair.
    return {suffix: sitk.Mask(image, seen) for suffix, image in images.items()}, record


def _write_all(name: str, part: str, images: dict[str, sitk.Image], options: PreparationOptions) -> dict[str, str]:
    """Write a subject's images; return the hash of each file by its path in the output."""
    chosen = _paper_slices(images[options.target]) if options.paper_split else None
    hashes = {}
    for suffix, image in images.items():
        path = options.output / part / f"{name}_{suffix}.nii.gz"
        _write(path, image, chosen)
        hashes[path.relative_to(options.output).as_posix()] = file_hash(path)
    return hashes


def _paper_slices(target: sitk.Image) -> list[int]:
    """Return the indices, from the feet up, of three slices between the head's lowest and highest slice."""
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
        rows = _rows(source, options.target, manifest)
        write_csv(options.output / "test" / f"{source}.csv", [("source", "target", "mask", "subject"), *rows])


def _rows(source: str, target: str, manifest: Record) -> Iterator[tuple[str, str, str, str]]:
    for name, record in sorted(manifest["subjects"].items()):
        if record["split"] == "test":
            mask = f"{name}_{TISSUE_SUFFIX}.nii.gz" if "tissue_means" in record else ""
            yield f"{name}_{source}.nii.gz", f"{name}_{target}.nii.gz", mask, bids_subject(Path(name)) or name
