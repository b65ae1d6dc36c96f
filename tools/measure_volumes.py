"""Volumes of tissues in translations beside those of the true T1w, by person.

python tools/measure_volumes.py PAIRS

PAIRS is the list of `benchmark quality` (columns source, target, mask, subject, set, kind, choosing). The truth is the
label map where the mask is one, else three K-Means classes of the true T1w inside the mask. People alone are counted,
and no pair that was used for choices.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

import LMIDiffusionLib as lmi
from LMIDiffusionLib.benchmark.ground_truth import read_tissues
from LMIDiffusionLib.segmentation.classes import TISSUES


def true_tissues(target: lmi.Volume, mask: Path) -> NDArray[np.uint8]:
    """Return 1 CSF, 2 gray matter, 3 white matter and 0 elsewhere."""
    tissues = read_tissues(mask, target)
    if tissues is None:
        brain = lmi.read_mask(mask, target)
        values = target.array[brain][:, None]
        clusters = KMeans(3, n_init=3, random_state=0).fit(values)
        rank = np.argsort(np.argsort(clusters.cluster_centers_[:, 0]))
        tissues = np.zeros(target.array.shape, np.uint8)
        tissues[brain] = rank[clusters.labels_] + 1
    return tissues


def milliliters(tissues: NDArray[np.uint8], volume: lmi.Volume) -> NDArray[np.float64]:
    counts = np.bincount(tissues.ravel(), minlength=4)[1:4]
    return counts * abs(np.linalg.det(volume.affine[:3, :3])) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    with parser.parse_args().pairs.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "person" and row["choosing"] == "no"]
    checkpoint = lmi.load_checkpoint()
    sets: dict[str, dict[str, list[NDArray[np.float64]]]] = defaultdict(lambda: defaultdict(list))
    print("set,subject," + ",".join(f"{name}, true {name}" for name in TISSUES))
    for row in (row for row in rows if row["mask"]):
        target, mask = lmi.read_volume(row["target"]), Path(row["mask"])
        truth = true_tissues(target, mask)
        translated = lmi.translate(row["source"], checkpoint).volume
        labels = lmi.segment_tissues(translated.array, checkpoint.tissue_centers, truth > 0).labels
        found = np.stack([milliliters(labels, translated), milliliters(truth, target)], 1)
        sets[row["set"]][row["subject"]].append(found)
        print(f"{row['set']},{row['subject']}," + ",".join(f"{a:.0f},{b:.0f}" for a, b in found), flush=True)
    for title, people in sets.items():
        means = np.stack([np.mean(scans, 0) for scans in people.values()])
        errors = 100 * (means[..., 0] / means[..., 1] - 1)
        for number, name in enumerate(TISSUES):
            error = errors[:, number]
            spread = f" ± {error.std(ddof=1):.0f}" if len(error) > 1 else ""
            difference = f"{error.mean():+.0f}{spread} %, off by {abs(error).mean():.0f} %"
            print(f"{title}, {len(people)} people, {name}: {difference}")


if __name__ == "__main__":
    main()
