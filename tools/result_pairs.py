"""`python tools/result_pairs.py DATA OUTPUT`: align the scans of docs/protocol.md and list them in OUTPUT/pairs.csv.

DATA holds the folders flair_t1w_pairs_2mm (NiChart), ms_native and ms_mni_1mm (Lesjak et al. 2017), kirby113,
sri24_1mm, templates_2mm (avg152) and simulated_head, with files NAME_<modality>.nii.gz. Files in OUTPUT are kept.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tqdm import tqdm

from LMIDiffusionLib.images.files import atomic_path
from LMIDiffusionLib.images.volume import read_volume, write_volume
from LMIDiffusionLib.preparation.alignment import align
from LMIDiffusionLib.preparation.scans import RawScan
from LMIDiffusionLib.segmentation.brain_extraction import find_brain

_COLUMNS = ("source", "target", "mask", "subject", "set", "kind", "choosing")
_FOR_CHOICES = {
    *("subj01_FLAIR", "subj02_FLAIR", "patient04_study1_T2w", "patient04_study1_FLAIR", "patient03_study2_FLAIR"),
    *("patient07_T2w", "avg152_PDw", "sim13_PDw"),
}
Row = dict[str, str]


def main(data: Path, output: Path) -> None:
    """Align, find brains, and write the list: pairs of the headline tables first."""
    rows = [*_nichart(data, output), *_whole_heads(data, output), *_brains(data, output), *_others(data)]
    rows.sort(key=lambda row: (row["choosing"] == "yes", row["kind"] != "person"))
    with (output / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _nichart(data: Path, output: Path) -> Iterator[Row]:
    folder = data / "flair_t1w_pairs_2mm"
    for path in tqdm(sorted(folder.glob("*_FLAIR.nii.gz")), desc="NiChart"):
        name = path.name.split("_")[0]
        pair = _aligned(folder, name, "FLAIR", output / "nichart")
        mask = folder / f"{name}_dlmuse.nii.gz"
        yield _row(*pair, mask, f"NiChart {name[4:]}", "whole heads, FLAIR (NiChart)")


def _whole_heads(data: Path, output: Path) -> Iterator[Row]:
    for modality in ("T2w", "FLAIR"):
        for path in tqdm(sorted((data / "ms_native").glob(f"*_{modality}.nii.gz")), desc=f"MS, {modality}"):
            name = path.name.removesuffix(f"_{modality}.nii.gz")
            source, target = _aligned(path.parent, name, modality, output / f"ms_{modality}")
            mask = target.with_name(f"{name}_brain.nii.gz")
            if not mask.exists():
                volume = read_volume(target)
                write_volume(mask, volume.with_array(find_brain(volume).astype(np.uint8)))
            yield _row(source, target, mask, f"MS {name[7:9]}", f"whole heads, {modality} (MS)")


def _brains(data: Path, output: Path) -> Iterator[Row]:
    people = (("ms_mni_1mm/patient07", "MS 07"), ("ms_mni_1mm/patient19", "MS 19"), ("kirby113/kirby113", "Kirby 113"))
    for name, subject in people:
        target = data / f"{name}_T1w.nii.gz"
        mask = output / "brains" / f"{target.name.split('_')[0]}_brain.nii.gz"
        mask.parent.mkdir(parents=True, exist_ok=True)
        volume = read_volume(target)
        write_volume(mask, volume.with_array((volume.array > 0).astype(np.uint8)))
        for modality in ("T2w", "FLAIR"):
            yield _row(data / f"{name}_{modality}.nii.gz", target, mask, subject, f"brains, {modality}")


def _others(data: Path) -> Iterator[Row]:
    for name, tissue, kind in (
        ("sri24_1mm/sri24", "sri24_1mm/sri24_tissue.nii.gz", "atlas"),
        ("templates_2mm/avg152", "", "atlas"),
        ("simulated_head/sim13", "simulated_head/sim13_tissue.nii.gz", "simulation"),
    ):
        for modality in ("PDw", "T2w"):
            source, target = (data / f"{name}_{each}.nii.gz" for each in (modality, "T1w"))
            subject = Path(name).name
            yield _row(source, target, data / tissue if tissue else None, subject, f"{subject}, {modality}", kind)


def _aligned(folder: Path, name: str, modality: str, output: Path) -> tuple[Path, Path]:
    """Register a source to its T1w as `prepare` does, unless the files are there; return both files."""
    paths = {each: output / f"{name}_{each}.nii.gz" for each in (modality, "T1w")}
    if not all(path.exists() for path in paths.values()):
        output.mkdir(parents=True, exist_ok=True)
        scans = {each: RawScan(folder / path.name) for each, path in paths.items()}
        alignment = align(scans, target="T1w", sources=[modality], spacing=None, correct_bias=False)
        images = {modality: alignment.registrations[modality].source, "T1w": alignment.target}
        for each, image in images.items():
            with atomic_path(paths[each]) as temporary:
                sitk.WriteImage(sitk.Mask(image, alignment.seen_by_all()), str(temporary), useCompression=True)
    return paths[modality], paths["T1w"]


def _row(source: Path, target: Path, mask: Path | None, subject: str, group: str, kind: str = "person") -> Row:
    choosing = "yes" if source.name.removesuffix(".nii.gz") in _FOR_CHOICES else "no"
    values = (source.resolve(), target.resolve(), mask.resolve() if mask else "", subject, group, kind, choosing)
    return dict(zip(_COLUMNS, map(str, values), strict=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
