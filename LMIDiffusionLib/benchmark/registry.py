"""Registry of the methods that a benchmark can compare, by name.

A name is that of the registry, followed by a setting where the method has one, and by @CHECKPOINT for other weights
than the benchmark's: `identity`, `sdedit-0.5`, `lmidiffusion-2x8@t1w-ixi-2mm`. Trained baselines have weights of their
own, whose file must be given: `NAME@PATH`. The parts of a method are imported when it is made, because help texts list
the registry.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..interface.presets import PRESETS
from ..interface.resources import checkpoint_hash

if TYPE_CHECKING:
    import torch

    from ..baselines import HistogramMatching
    from ..baselines.intensity_mapping import IntensityMapping
    from ..model.checkpoint import Checkpoint
    from ..model.checkpoint_file import StoredCheckpoint
    from ..translation.options import TranslationOptions
    from ..translation.translator import Translator

    Runnable = tuple[Translator, TranslationOptions]
    Weights = Checkpoint | StoredCheckpoint
    Maker = Callable[[Any, str, "Setup", torch.device], Runnable]  # Any: the weights that its kind has

OURS = "lmidiffusion"
# Without a condition, sampling in few steps returns the mean of all heads.
_SDEDIT_STEPS = 25
_SAMPLING_FORMS = f"SAMPLING is {', '.join(PRESETS)} or STEPSxSAMPLES[wGUIDANCE]"
_INVERSION = re.compile(r"(?:(sobel)(?:-(?=\d)|$))?(\d+)?")
_SAMPLING = re.compile(r"(\d+)x(\d+)(?:w(\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Setup:
    """Shared settings of a benchmark's methods.

    Attributes:
        checkpoint: model whose pixels and classes the scores are taken on.
        options: of a translation, unless a method's own setting replaces them.
        target_scans: folder of scans of the target modality, of other subjects.
    """

    checkpoint: Checkpoint
    options: TranslationOptions
    target_scans: Path | None

    @cached_property
    def histogram_matching(self) -> HistogramMatching:
        """Histogram matching, fitted once to the target scans."""
        from ..baselines import HistogramMatching
        from ..images.volume import read_volume
        from ..training.data.subjects import find_subjects

        if self.target_scans is None:
            raise UserError(
                "Histogram matching needs --target-scans, a folder of target-modality scans of other subjects."
            )
        subjects = find_subjects(self.target_scans, modality=self.checkpoint.modality, brain_suffixes=("mask",))
        scans = (read_volume(subject.image).array for subject in subjects)
        return HistogramMatching().fit(scans)


@dataclass(frozen=True)
class MethodKind:
    """An entry of the registry.

    Attributes:
        make: builds the method from weights, its setting (empty for none), the shared settings and a device.
        setting: form of the setting after the name, for help texts; empty where there is none.
        sees_target: True if the method translates the true target in place of the source.
        trained: True for a baseline with weights of its own, in a checkpoint of this kind.
    """

    make: Maker
    setting: str = ""
    sees_target: bool = False
    trained: bool = False


def _identity(checkpoint: Checkpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    from ..baselines import Identity

    return Identity(), dataclasses.replace(setup.options, samples=1)


def _histogram_matching(checkpoint: Checkpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    return setup.histogram_matching, dataclasses.replace(setup.options, samples=1)


def _tone_map(checkpoint: Checkpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    from ..baselines.oracles import ToneMap

    return ToneMap(), dataclasses.replace(setup.options, samples=1)


def _repainting(checkpoint: Checkpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    from ..baselines.oracles import Repainting

    return Repainting(), dataclasses.replace(setup.options, samples=1)


def _sdedit(checkpoint: Checkpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    return _sdedit_from(checkpoint, setting, setup, device, None)


def _sdedit_matched(checkpoint: Checkpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    return _sdedit_from(checkpoint, setting, setup, device, setup.histogram_matching)


def _sdedit_inverted(checkpoint: Checkpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    from ..baselines import Inversion

    return _sdedit_from(checkpoint, setting, setup, device, Inversion())


def _sdedit_from(
    checkpoint: Checkpoint, setting: str, setup: Setup, device: torch.device, mapping: IntensityMapping | None
) -> Runnable:
    from ..baselines import SDEdit

    try:
        start = float(setting)
    except ValueError:
        start = 0.0
    if not 0 < start <= 1:
        raise UserError(f"SDEdit cannot start at {setting or 'no time'}; give -T with T in (0, 1].")
    options = dataclasses.replace(setup.options, steps=max(_SDEDIT_STEPS, setup.options.steps or 0))
    return SDEdit(checkpoint, device=device, start=start, mapping=mapping), options


def _lmidiffusion(checkpoint: Checkpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    from ..translation.lmi_diffusion import LMIDiffusion

    return LMIDiffusion(checkpoint, device=device), _sampling(setting, setup.options)


def _sampling(setting: str, options: TranslationOptions) -> TranslationOptions:
    if not setting:
        return options
    if setting in PRESETS:
        return dataclasses.replace(options, **dataclasses.asdict(PRESETS[setting]))
    match = _SAMPLING.fullmatch(setting)
    if not match:
        raise UserError(f"There is no {OURS}-{setting}; {_SAMPLING_FORMS}.")
    guidance = float(match[3] or options.guidance)
    return dataclasses.replace(options, steps=int(match[1]), samples=int(match[2]), guidance=guidance)


def _regression(checkpoint: StoredCheckpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    from ..baselines.regression import Regression

    return Regression(checkpoint, device=device), dataclasses.replace(setup.options, samples=_count(setting))


def _count(setting: str) -> int:
    if setting and (not setting.isdigit() or int(setting) == 0):
        raise UserError(f"{setting} is no number of samples; give a whole number above 0.")
    return int(setting or 1)


def _cyclegan(checkpoint: StoredCheckpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    from ..baselines.cyclegan import CycleGAN

    return CycleGAN(checkpoint, device=device), dataclasses.replace(setup.options, samples=1)


def _stylegan_inversion(checkpoint: StoredCheckpoint, setting: str, setup: Setup, device: torch.device) -> Runnable:
    from ..baselines.stylegan.inversion import DEFAULT_STEPS, StyleGANInversion

    match = _INVERSION.fullmatch(setting)
    steps = int((match and match[2]) or DEFAULT_STEPS)
    if not match or not steps:
        raise UserError(f"A StyleGAN inversion cannot be {setting}; give [sobel][-STEPS] with 1 step or more.")
    method = StyleGANInversion(checkpoint, device=device, steps=steps, features=match[1] or "intensity")
    return method, dataclasses.replace(setup.options, samples=1)


METHODS = {
    "identity": MethodKind(_identity),
    "histogram-matching": MethodKind(_histogram_matching),
    "sdedit": MethodKind(_sdedit, setting="-T"),
    "sdedit-matched": MethodKind(_sdedit_matched, setting="-T"),
    "sdedit-inverted": MethodKind(_sdedit_inverted, setting="-T"),
    OURS: MethodKind(_lmidiffusion, setting="[-SAMPLING]"),
    "regression": MethodKind(_regression, setting="[-SAMPLES]", trained=True),
    "cyclegan": MethodKind(_cyclegan, trained=True),
    "stylegan-inversion": MethodKind(_stylegan_inversion, setting="[-sobel][-STEPS]", trained=True),
    "tone-map": MethodKind(_tone_map),
    "repainting": MethodKind(_repainting),
    # Remaining error where the source has the target's own contrast; no bound.
    "target-to-itself": MethodKind(_lmidiffusion, setting="[-SAMPLING]", sees_target=True),
}


def method_forms() -> str:
    """Return the names of all methods with the forms of their settings, for help texts."""
    forms = ", ".join(name + kind.setting + "@PATH" * kind.trained for name, kind in METHODS.items())
    return f"{forms}; {_SAMPLING_FORMS}; each with @CHECKPOINT for other weights"


@dataclass(frozen=True)
class Cost:
    """Parameters and training of a method; all None for a method without a network.

    Attributes:
        parameters: number of the network's parameters.
        training_steps: as recorded in the checkpoint: steps of the last training, if it started from other weights.
        training_seconds: duration of these steps; None if it is not recorded.
    """

    parameters: int | None = None
    training_steps: int | None = None
    training_seconds: float | None = None

    @classmethod
    def from_method(cls, method: Translator, weights: Weights) -> Cost:
        """Return the cost of a method, which may not use the weights that it was given."""
        from ..model.checkpoint import Checkpoint
        from ..translation.lmi_diffusion import DiffusionTranslator

        if isinstance(weights, Checkpoint) and not isinstance(method, DiffusionTranslator):
            return cls()
        parameters, provenance = sum(each.numel() for each in weights.weights.values()), weights.provenance
        return cls(parameters, provenance.training_steps, provenance.training_seconds)


@dataclass(frozen=True)
class NamedMethod:
    """A method of the benchmark with its settings.

    Attributes:
        title: name in tables, with the name of its checkpoint file.
        version: hash of its weights, to tell files of one name apart; empty for the benchmark's own checkpoint.
        sees_target: True if the method translates the true target in place of the source.
        cost: parameters and training.
        make: builds the method on a device, with the options of its translations.
    """

    title: str
    version: str
    sees_target: bool
    cost: Cost
    make: Callable[[torch.device], Runnable]


def find_method(name: str, setup: Setup) -> NamedMethod:
    """Find a method by its name.

    Raises:
        UserError: there is no such method, its setting is wrong, its checkpoint cannot be used, or data are missing.
    """
    import torch

    plain, at, other = name.partition("@")
    found = [each for each in METHODS if plain == each or plain.startswith(f"{each}-")]
    base = max(found, key=len, default="")
    if not base or (plain != base and not METHODS[base].setting):
        raise UserError(f"There is no method {name}; choose from {method_forms()}.")
    kind, setting = METHODS[base], plain[len(base) + 1 :]
    weights = _baseline(base, other, setup) if kind.trained else _weights(other if at else None, setup)

    def make(device: torch.device) -> Runnable:
        return kind.make(weights, setting, setup, device)

    method, _ = make(torch.device("cpu"))  # errors appear before any work is done
    title = f"{plain}@{Path(other).stem}" if at else plain
    version = checkpoint_hash(other)[:12] if at else ""
    return NamedMethod(title, version, kind.sees_target, Cost.from_method(method, weights), make)


def _weights(name: str | None, setup: Setup) -> Checkpoint:
    from ..model.checkpoint import load_checkpoint

    if name is None:
        return setup.checkpoint
    other = load_checkpoint(name)
    _check_pixels(name, other, setup)
    return other


def _baseline(kind: str, path: str, setup: Setup) -> StoredCheckpoint:
    from ..model.checkpoint_file import read_baseline

    if not path:
        raise UserError(f"{kind} has weights of its own; give {kind}@PATH with the file that its training wrote.")
    baseline = read_baseline(Path(path), kind)
    _check_pixels(path, baseline, setup)
    return baseline


def _check_pixels(name: str, weights: Weights, setup: Setup) -> None:
    if weights.pixel_size != setup.checkpoint.pixel_size:
        raise UserError(
            f"{name} has pixels of {weights.pixel_size:g} mm, --checkpoint of {setup.checkpoint.pixel_size:g} mm,"
            " so their scores cannot be compared; benchmark it by itself."
        )
