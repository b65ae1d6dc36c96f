"""Pairs whose scans are read, scaled and cut once, for all methods that translate them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..baselines.oracles import Oracle
from ..errors import UserError
from ..images.volume import read_volume
from ..interface.progress import Progress
from ..translation.draws import error_of_slices
from ..translation.lmi_diffusion import DiffusionTranslator, LMIDiffusion
from ..translation.options import TranslationOptions
from ..translation.pixel_size import choose_pixel_size
from ..translation.sliced_volume import SlicedVolume
from ..translation.translate_volume import translate_about_head, translate_slices
from ..translation.translator import Translator
from .ground_truth import GroundTruth, read_ground_truth
from .pairs import Pair
from .registry import NamedMethod


@dataclass(frozen=True)
class TranslatedSlices:
    """Slices of a method.

    Attributes:
        images: means of the samples, (N, H, W) in [0, 1].
        volume: the same on the volume's own voxels, (I, J, K), 0 in other slices.
    """

    images: NDArray[np.float32]
    volume: NDArray[np.float32]


@dataclass(frozen=True)
class LoadedPair:
    """The slices of a pair's source and target, and the ground truth."""

    source: SlicedVolume
    target: SlicedVolume
    truth: GroundTruth

    @classmethod
    def from_pair(cls, pair: Pair, *, pixel_size: float, every: int) -> LoadedPair:
        """Read a pair, and score every `every`-th slice.

        Raises:
            UserError: a scan or the map of the brain cannot be used, or the scans lie on different grids.
        """
        source, target = read_volume(pair.source), read_volume(pair.target)
        if not source.shares_grid_with(target):
            raise UserError(
                f"{pair.source} and {pair.target} lie on different grids; register and resample one to the other."
            )
        sliced = SlicedVolume.from_volume(target, pixel_size=pixel_size)
        truth = read_ground_truth(pair, target, sliced, every=every)
        return cls(SlicedVolume.from_volume(source, pixel_size=pixel_size), sliced, truth)

    def translate(
        self,
        named: NamedMethod,
        indices: list[int],
        device: torch.device,
        *,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> TranslatedSlices:
        """Translate some slices by a method.

        Raises:
            NoLabelsError: the method needs labels of tissues.
        """
        method, options = named.make(device)
        if isinstance(method, Oracle):
            method.fit(self.source.scaled, self.target.scaled, self.truth.tissue_volume)
        seen = self._seen_by(named, method, options)
        translate = translate_about_head if isinstance(method, DiffusionTranslator) else translate_slices
        moments = translate(seen, indices, method, options, on_progress=on_progress)
        return TranslatedSlices(self.source.grid.slices(moments.mean)[indices, 0].numpy(), moments.mean)

    def expected_error(
        self, named: NamedMethod, indices: list[int], device: torch.device, translated: TranslatedSlices
    ) -> NDArray[np.float32] | None:
        """Return expected errors of translated slices, (N, H, W), averaged over each pixel; None without draws."""
        method, options = named.make(device)
        if not isinstance(method, LMIDiffusion):
            return None
        seen = self._seen_by(named, method, options)
        errors = error_of_slices(seen, indices, translated.volume, method, options)
        return self.source.grid.slices(errors)[indices, 0].numpy()

    def _seen_by(self, named: NamedMethod, method: Translator, options: TranslationOptions) -> SlicedVolume:
        source = self.target if named.sees_target else self.source
        if isinstance(method, DiffusionTranslator):
            return source.with_pixel_size(choose_pixel_size(source.grid.affine, method.checkpoint, options))
        return source
