"""Baselines that are trained: a few steps on tiny data, saved, resumed, loaded, and used."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from LMIDiffusionLib.baselines.cyclegan import GeneratorSettings, PatchDiscriminator, ResidualGenerator
from LMIDiffusionLib.baselines.regression import Regression, RegressionNetwork
from LMIDiffusionLib.baselines.training import trainer
from LMIDiffusionLib.baselines.training.cyclegan import CycleGANTraining, train_cyclegan
from LMIDiffusionLib.baselines.training.image_pool import ImagePool
from LMIDiffusionLib.baselines.training.options import CycleGANOptions
from LMIDiffusionLib.baselines.training.regression import train_regression
from LMIDiffusionLib.benchmark.registry import Cost, Setup, find_method
from LMIDiffusionLib.cli import main
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.air import smooth_air
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.interface.checkpoint_header import METADATA_KEY
from LMIDiffusionLib.model.checkpoint import Checkpoint
from LMIDiffusionLib.model.checkpoint_file import StoredCheckpoint, read_baseline, write_checkpoint
from LMIDiffusionLib.training.augmentation.random_streams import SliceDraws
from LMIDiffusionLib.training.options import DataOptions, FitOptions, ModelOptions
from LMIDiffusionLib.training.warm_start import start_from
from LMIDiffusionLib.translation.options import TranslationOptions
from LMIDiffusionLib.translation.scan_pipeline import ScanSettings, translate_scan
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume

CPU = torch.device("cpu")
READING = DataOptions(held_out=1)
FIT = FitOptions(steps=6, steps_per_epoch=2, batch_size=2, devices="1", seed=3)
GENERATOR = GeneratorSettings(features=4, blocks=1)


def draws(seed: int = 0) -> SliceDraws:
    return SliceDraws(torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def scans(head: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for number in range(3):
        array = head.array * (1 + 0.1 * number)
        nib.save(nib.Nifti1Image(array, head.affine), folder / f"s{number}_T1w.nii.gz")
        nib.save(nib.Nifti1Image(np.sqrt(array), head.affine), folder / f"s{number}_FLAIR.nii.gz")
    return folder


def regression(scans: Path, output: Path, *, resume: bool = False) -> Path:
    model = ModelOptions(name="baseline", maps=("self", "intensity"), channels=(8, 16))
    return train_regression(scans, output, reading=READING, model=model, fit=FIT, resume=resume)


def cyclegan(scans: Path, output: Path, *, resume: bool = False) -> Path:
    options = CycleGANOptions(
        source_scans=scans, source_modality="FLAIR", name="baseline", generator=GENERATOR, discriminator_features=4
    )
    return train_cyclegan(scans, output, options, reading=READING, fit=FIT, resume=resume)


Train = Callable[..., Path]
TRAININGS = {"regression": regression, "cyclegan": cyclegan}


@pytest.fixture(scope="module", params=TRAININGS)
def trained(request: pytest.FixtureRequest, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The kind of a baseline and its checkpoint."""
    return request.param, TRAININGS[request.param](scans, tmp_path_factory.mktemp(request.param) / "out")


def test_an_interrupted_and_resumed_training_gives_the_weights_of_an_uninterrupted_one(
    trained: tuple[str, Path], scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, whole = trained
    exports = list[StoredCheckpoint]()

    def interrupted(checkpoint: StoredCheckpoint, path: Path) -> None:
        write_checkpoint(checkpoint, path)
        exports.append(checkpoint)
        if len(exports) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "write_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        TRAININGS[kind](scans, tmp_path / "out")
    monkeypatch.undo()
    before, again = exports[-1].provenance, TRAININGS[kind](scans, tmp_path / "out", resume=True)
    expected, found = load_file(whole), load_file(again)
    assert expected.keys() == found.keys()
    for name in expected:
        assert torch.equal(expected[name], found[name]), name
    resumed = read_baseline(again, kind)
    assert (before.training_steps, resumed.provenance.training_steps) == (4, 6)
    seconds = read_baseline(whole, kind).provenance.training_seconds
    assert seconds is not None and seconds > 0
    assert resumed.settings == read_baseline(whole, kind).settings
    assert len(list((tmp_path / "out" / "pictures").glob("*.png"))) == 3 * 4


def test_a_trained_baseline_is_a_method_of_the_benchmark(
    trained: tuple[str, Path], tiny_checkpoint: Checkpoint, head: Volume
) -> None:
    kind, path = trained
    named = find_method(f"{kind}@{path}", Setup(tiny_checkpoint, TranslationOptions(), None))
    assert named.title == f"{kind}@baseline" and named.version
    method, options = named.make(CPU)
    assert options.samples == 1
    baseline = read_baseline(path, kind)
    assert named.cost == Cost(
        sum(weight.numel() for weight in baseline.weights.values()), 6, baseline.provenance.training_seconds
    )
    result = translate_scan(head, method, ScanSettings(tiny_checkpoint, options)).volume
    assert result.array.shape == head.array.shape
    np.testing.assert_array_equal(result.affine, head.affine)
    assert result.array.min() >= 0 and result.array.max() <= 1
    source = SlicedVolume.from_volume(head, pixel_size=2.0)
    air, indices = ~source.outlines([9, 10]), [9, 10]
    drawn = method.sample(source, indices, number=0, options=options, on_step=lambda: None)
    assert torch.equal(drawn[air], smooth_air(source.slices[indices], air, pixel_size=2.0)[air])
    assert (drawn - source.slices[indices])[~air].abs().mean() > 0.01


def test_a_regression_draws_in_the_planes_that_it_was_trained_on(scans: Path, tmp_path: Path) -> None:
    planes = ("axial", "sagittal")
    model = ModelOptions(name="baseline", maps=("intensity",), channels=(8, 16))
    reading = dataclasses.replace(READING, planes=planes)
    path = train_regression(scans, tmp_path, reading=reading, model=model, fit=FIT)
    checkpoint = read_baseline(path, "regression")
    assert Regression(checkpoint, device=CPU).planes == planes
    for damage in ({"planes": ["sagittal"]}, {"condition": {"maps": ["intensity"]}}):
        with pytest.raises(UserError, match="damaged"):
            Regression(dataclasses.replace(checkpoint, settings={**checkpoint.settings, **damage}), device=CPU)


def test_the_cost_of_a_method_is_that_of_its_own_weights(tiny_checkpoint: Checkpoint) -> None:
    setup = Setup(tiny_checkpoint, TranslationOptions(), None)
    parameters = sum(each.numel() for each in tiny_checkpoint.score_network().parameters())
    for name in ("lmidiffusion", "target-to-itself", "sdedit-0.5", "sdedit-inverted-0.5"):
        assert find_method(name, setup).cost == Cost(parameters, 0, None)
    assert find_method("identity", setup).cost == Cost(None, None, None)


def test_a_baseline_without_weights_or_with_another_pixel_size_is_refused(
    trained: tuple[str, Path], tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    kind, path = trained
    setup = Setup(tiny_checkpoint, TranslationOptions(), None)
    with pytest.raises(UserError, match=f"give {kind}@PATH"):
        find_method(kind, setup)
    other = next(each for each in TRAININGS if each != kind)
    with pytest.raises(UserError, match=f"checkpoint of {kind}; give one of {other}"):
        find_method(f"{other}@{path}", setup)
    baseline = read_baseline(path, kind)
    text = baseline.metadata()
    save_file(baseline.weights, tmp_path / "fine.safetensors", {METADATA_KEY: json.dumps({**text, "pixel_size": 1.0})})
    with pytest.raises(UserError, match="pixels of 1 mm"):
        find_method(f"{kind}@{tmp_path / 'fine.safetensors'}", setup)


def test_a_regression_averages_the_requested_number_of_views(
    trained: tuple[str, Path], tiny_checkpoint: Checkpoint
) -> None:
    kind, path = trained
    setup = Setup(tiny_checkpoint, TranslationOptions(), None)
    if kind == "regression":
        assert find_method(f"regression-4@{path}", setup).make(CPU)[1].samples == 4
        with pytest.raises(UserError, match="number of samples"):
            find_method(f"regression-0@{path}", setup)
    else:
        with pytest.raises(UserError, match="no method"):
            find_method(f"cyclegan-4@{path}", setup)


class TestRegression:
    def test_a_warm_start_equals_the_score_network_at_pure_noise(self, tiny_checkpoint: Checkpoint) -> None:
        """Started from all maps but the cross map, which is then dark, as the noisy slice is."""
        sigma = tiny_checkpoint.sde.sigma_max
        network = RegressionNetwork(
            dataclasses.replace(tiny_checkpoint.network, condition_channels=1), noise_level=math.log(sigma) / 4
        )
        start_from(network, ["self 3"], tiny_checkpoint)
        own = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        none = torch.zeros_like(own)
        score = tiny_checkpoint.score_network()(none, torch.cat([own, none], 1), torch.full((2,), sigma))
        factor = math.sqrt(1 + (tiny_checkpoint.network.sigma_data / sigma) ** 2)
        torch.testing.assert_close(network(own), factor * score)

    def test_a_map_that_needs_a_noisy_slice_is_refused(self, scans: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="choose from self, sobel, intensity"):
            train_regression(scans, tmp_path / "out", model=ModelOptions(maps=("self", "cross")))
        assert not (tmp_path / "out").exists()


class TestCycleGAN:
    def test_a_patch_of_the_discriminator_is_70_pixels_wide(self) -> None:
        discriminator = PatchDiscriminator(2)
        for name, module in discriminator.layers.named_children():
            if isinstance(module, nn.InstanceNorm2d):  # its statistics are of the whole slice
                setattr(discriminator.layers, name, nn.Identity())
        slices = torch.rand(1, 1, 128, 128, requires_grad=True)
        opinions = discriminator(slices)
        opinions[0, 0, opinions.shape[-2] // 2, opinions.shape[-1] // 2].backward()
        assert slices.grad is not None
        for axis in (0, 1):
            reached = torch.nonzero(slices.grad[0, 0].abs().sum(axis)).flatten()
            assert int(reached[-1] - reached[0]) + 1 == 70

    def test_generators_and_discriminators_do_not_learn_from_each_others_losses(self) -> None:
        module = CycleGANTraining(torch.rand(5, 1, 33, 40), OPTIONS, FIT)
        real = {side: torch.rand(2, 1, *module.shape) for side in ("target", "source")}
        loss, generated = module._generators_loss(real)
        loss.backward()
        assert all(each.grad is not None for each in module.generators.parameters())
        assert all(each.grad is None and each.requires_grad for each in module.discriminators.parameters())
        module.generators.zero_grad()
        module._discriminators_loss(real, {side: each.detach() for side, each in generated.items()}).backward()
        assert all(each.grad is None for each in module.generators.parameters())
        assert all(each.grad is not None for each in module.discriminators.parameters())

    def test_generators_are_judged_by_discriminators_cycles_and_identity(self) -> None:
        """Generators that return what they are given, before discriminators that believe nothing."""
        module = CycleGANTraining(torch.rand(5, 1, 32, 32), OPTIONS, FIT)
        module.generators = nn.ModuleDict({side: nn.Identity() for side in ("target", "source")})
        real = {side: torch.rand(2, 1, 32, 32) for side in ("target", "source")}
        for discriminator in module.discriminators.values():
            for each in discriminator.parameters():
                nn.init.zeros_(each)
        assert float(module._generators_loss(real)[0]) == 2  # (0 - 1)^2 of each; nothing comes back changed
        module.generators["target"] = nn.Flatten(0)
        module.generators["target"].forward = lambda images: images + 0.1
        expected = 2 + 2 * 10 * 0.1 + 5 * 0.1
        assert float(module._generators_loss(real)[0]) == pytest.approx(expected, rel=1e-5)

    def test_a_generator_keeps_the_shape_and_draws_in_the_unit_range(self) -> None:
        drawn = ResidualGenerator(GENERATOR)(torch.rand(2, 1, 20, 36))
        assert drawn.shape == (2, 1, 20, 36)
        assert drawn.min() >= 0 and drawn.max() <= 1

    def test_the_pool_gives_new_images_until_it_is_full_and_then_old_ones_half_the_time(self) -> None:
        pool = ImagePool(10, (1, 1))
        numbers = torch.arange(1.0, 401).view(-1, 1, 1, 1)
        given = pool(numbers, draws())
        assert torch.equal(given[:10], numbers[:10])
        later, new = given[10:].flatten(), numbers[10:].flatten()
        assert 0.4 < float((later == new).float().mean()) < 0.6
        assert (later <= new).all() and len(set(later.tolist())) == len(later), "an image is given away once"
        again = ImagePool(10, (1, 1))
        again.load_state_dict(pool.state_dict())
        torch.testing.assert_close(again(numbers, draws(1)), pool(numbers, draws(1)))

    def test_source_scans_must_be_there(self, scans: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no file named"):
            train_cyclegan(
                scans,
                tmp_path / "out",
                CycleGANOptions(source_scans=scans, source_modality="T2w"),
                reading=READING,
                fit=FIT,
            )


OPTIONS = CycleGANOptions(
    source_scans=Path("none"), source_modality="FLAIR", name="baseline", generator=GENERATOR, discriminator_features=4
)


def test_only_the_training_of_a_cyclegan_takes_source_scans(capsys: pytest.CaptureFixture[str]) -> None:
    takes = set()
    for command in ("train", "train-regression", "train-cyclegan"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = capsys.readouterr().out
        if "--source-scans" in text:
            takes.add(command)
            assert "never does" in text
    assert takes == {"train-cyclegan"}


@pytest.mark.parametrize(
    ("name", "more"),
    [("regression", []), ("cyclegan", ["--source-scans", "sources", "--source-modality", "FLAIR"])],
)
def test_the_command_line_and_scripts_have_the_same_defaults(
    monkeypatch: pytest.MonkeyPatch, name: str, more: list[str]
) -> None:
    module, function = f"LMIDiffusionLib.baselines.training.{name}", f"train_{name}"
    train = getattr(__import__(module, fromlist=[function]), function)
    called: dict[str, object] = {}

    def note(*arguments: object, **options: object) -> Path:
        called.update(inspect.signature(train).bind(*arguments, **options).arguments)
        return Path("checkpoint")

    monkeypatch.setattr(f"{module}.{function}", note)
    with pytest.raises(SystemExit):
        main([f"train-{name}", "scans", "--output", "run", *more])
    defaults = {n: p.default for n, p in inspect.signature(train).parameters.items() if p.default is not p.empty}
    assert {n: called[n] for n in defaults} == defaults
    if name == "cyclegan":
        assert called["options"] == CycleGANOptions(source_scans=Path("sources"), source_modality="FLAIR")
