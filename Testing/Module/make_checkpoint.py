"""`python make_checkpoint.py OUTPUT`: an untrained checkpoint, small enough for translations in no time.

Run in a process of its own: PyTorch must not get into the one that plays Slicer.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from LMIDiffusionLib.model.checkpoint import Checkpoint, Provenance, save_checkpoint
from LMIDiffusionLib.model.conditioning import Condition
from LMIDiffusionLib.model.score_network import NetworkSettings, ScoreNetwork
from LMIDiffusionLib.model.sde import VarianceExplodingSDE


def main(path: Path) -> None:
    torch.manual_seed(0)
    settings = NetworkSettings(channels=(8, 16), blocks=1, unshuffle=2, attention_heads=2)
    network = ScoreNetwork(settings)
    for parameter in network.parameters():
        if not parameter.any():  # the last layers start at zero, and would make every translation flat
            torch.nn.init.normal_(parameter, std=0.1)
    checkpoint = Checkpoint(
        weights=network.state_dict(),
        network=settings,
        condition=Condition(),
        sde=VarianceExplodingSDE(0.01, 5.0),
        modality="T1w",
        pixel_size=2.0,
        class_centers={3: np.array([0.05, 0.4, 0.7]), 5: np.array([0.02, 0.2, 0.35, 0.5, 0.7])},
        tissue_centers={"CSF": 0.15, "gray matter": 0.45, "white matter": 0.65},
        provenance=Provenance("none: random weights", "CC0", training_steps=0),
    )
    save_checkpoint(checkpoint, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
