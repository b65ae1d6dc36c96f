"""StyleGAN2-ADA and its inversion: properties of the parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from LMIDiffusionLib.baselines.stylegan.fields import HeadWindow, field_shape, to_fields, to_images
from LMIDiffusionLib.baselines.stylegan.generator import Generator, StyleGANSettings
from LMIDiffusionLib.baselines.stylegan.inversion import FEATURES, StyleGANInversion
from LMIDiffusionLib.baselines.stylegan.layers import doubled, halved, modulated_convolution
from LMIDiffusionLib.baselines.training.adaptive_augmentation import AdaptiveAugmentation
from LMIDiffusionLib.baselines.training.stylegan_discriminator import Discriminator, with_spread
from LMIDiffusionLib.baselines.training.stylegan_losses import PathLengthPenalty, path_lengths, r1_penalty
from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.model.checkpoint_file import Provenance, StoredCheckpoint
from LMIDiffusionLib.training.augmentation.random_streams import SliceDraws
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume

SETTINGS = StyleGANSettings(channels=(8, 8, 8, 6), latent=8)
SIZE = 32


def draws(seed: int = 0) -> SliceDraws:
    return SliceDraws(torch.Generator().manual_seed(seed))


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(SETTINGS)


@pytest.fixture
def discriminator() -> Discriminator:
    torch.manual_seed(1)
    return Discriminator(SETTINGS)


class TestModulatedConvolution:
    @pytest.mark.parametrize("demodulate", [True, False])
    @pytest.mark.parametrize("double", [True, False])
    def test_it_convolves_each_image_with_weights_of_its_own(self, demodulate: bool, double: bool) -> None:
        torch.manual_seed(0)
        features, weight, styles = torch.randn(3, 5, 8, 6), torch.randn(4, 5, 3, 3), torch.randn(3, 5)
        found = modulated_convolution(features, weight, styles, demodulate=demodulate, double=double)
        for image, style, each in zip(features, styles, found, strict=True):
            own = weight * style[None, :, None, None]
            if demodulate:
                own = own / own.square().sum((1, 2, 3), keepdim=True).sqrt()
            if double:
                # Zeros between the pixels, the convolution (turned by transposition), then [1, 3, 3, 1].
                image = smoothed(functional.conv2d(zeros_between(image), own.flip(2, 3), padding=2))
            else:
                image = functional.conv2d(image[None], own, padding=1)
            torch.testing.assert_close(each[None], image, rtol=1e-4, atol=1e-4)

    def test_demodulated_features_keep_their_variance_whatever_the_styles(self) -> None:
        torch.manual_seed(0)
        features, weight = torch.randn(2, 64, 32, 32), torch.randn(64, 64, 3, 3)
        styles = torch.stack([torch.rand(64), 50 * torch.rand(64)])
        inside = modulated_convolution(features, weight, styles)[:, :, 2:-2, 2:-2]
        torch.testing.assert_close(inside.std((1, 2, 3)), torch.ones(2), rtol=0.05, atol=0)


def zeros_between(image: Tensor) -> Tensor:
    spread = torch.zeros(1, image.shape[0], 2 * image.shape[1] - 1, 2 * image.shape[2] - 1)
    spread[:, :, ::2, ::2] = image
    return spread


def smoothed(image: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    channels = image.shape[1]
    for kernel in (taps[:, None], taps[None]):
        padding = (kernel.shape[0] // 4, kernel.shape[1] // 4)
        image = functional.conv2d(image, kernel.expand(channels, 1, -1, -1), padding=padding, groups=channels)
    return image


class TestResampling:
    def test_constants_stay_what_they_are(self) -> None:
        constant = torch.full((2, 3, 8, 12), 0.7)
        torch.testing.assert_close(doubled(constant), torch.full((2, 3, 16, 24), 0.7))
        torch.testing.assert_close(halved(constant)[:, :, 1:-1, 1:-1], torch.full((2, 3, 2, 4), 0.7))

    def test_a_ramp_stays_a_ramp_where_no_border_is_near(self) -> None:
        ramp = torch.arange(16.0).expand(1, 1, 16, 16)
        assert torch.allclose(doubled(ramp)[..., 2:-2].diff(dim=-1), torch.tensor(0.5))
        assert torch.allclose(halved(ramp)[..., 1:-1, 1:-1].diff(dim=-1), torch.tensor(2.0))

    def test_the_finest_checkerboard_vanishes(self) -> None:
        board = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
        assert halved(board[None, None])[..., 1:-1, 1:-1].abs().max() < 1e-6


class TestNetworks:
    def test_images_have_the_size_of_the_settings_and_depend_on_code_and_noise(self, generator: Generator) -> None:
        codes = torch.randn(2, generator.layers, SETTINGS.latent)
        assert SETTINGS.size == SIZE
        plain = generator(codes)
        assert plain.shape == (2, 1, SIZE, SIZE)
        for number in range(generator.layers):
            other = codes.clone()
            other[:, number] += 1
            assert not torch.allclose(generator(other), plain), f"layer {number} is not steered"
        noise = [torch.randn(2, *shape) for shape in generator.noise_shapes()]
        torch.testing.assert_close(generator(codes, noise), plain)  # its strength starts at 0
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                nn.init.ones_(parameter)
        assert not torch.allclose(generator(codes, noise), plain)

    def test_every_weight_learns(self, generator: Generator, discriminator: Discriminator) -> None:
        codes = generator.mapping(torch.randn(4, SETTINGS.latent))[:, None].expand(-1, generator.layers, -1)
        noise = [torch.randn(4, *shape) for shape in generator.noise_shapes()]
        discriminator(generator(codes, noise)).square().sum().backward()
        for network in (generator, discriminator):
            for name, parameter in network.named_parameters():
                assert parameter.grad is not None and parameter.grad.any(), name

    def test_images_that_are_all_alike_have_no_spread(self) -> None:
        one = torch.randn(1, 3, 4, 4)
        assert with_spread(one.expand(8, -1, -1, -1))[:, 3].max() < 1e-3
        expected = torch.randn(4, 3, 4, 4)
        found = with_spread(expected)
        torch.testing.assert_close(found[:, 3], expected.std(0, correction=0).mean().expand(4, 4, 4))


class TestLosses:
    def test_r1_of_a_quadratic_form_is_known(self) -> None:
        images = torch.randn(3, 1, 4, 4)
        # D(x) = |x|^2 / 2 has the gradient x.
        found = r1_penalty(lambda x: x.square().sum((1, 2, 3)) / 2, images)
        torch.testing.assert_close(found, images.square().sum((1, 2, 3)).mean())

    def test_r1_teaches_the_discriminator(self, discriminator: Discriminator) -> None:
        r1_penalty(discriminator, torch.randn(4, 1, SIZE, SIZE)).backward()
        for name, parameter in discriminator.blocks.named_parameters():
            if name.endswith("weight"):
                assert parameter.grad is not None and parameter.grad.any(), name

    def test_path_lengths_of_a_linear_generator_are_known(self) -> None:
        torch.manual_seed(0)
        matrix, codes = torch.randn(16, 6), torch.randn(5, 2, 3, requires_grad=True)
        images = (codes.flatten(1) @ matrix.T).view(5, 1, 4, 4)
        noise = torch.randn(5, 1, 4, 4)
        backwards = noise.flatten(1) @ matrix / 4  # J^T y, for images of 4 x 4 pixels
        expected = (backwards.square().sum(1) / 2).sqrt()  # averaged over 2 layers
        torch.testing.assert_close(path_lengths(images, codes, noise), expected)

    def test_equal_path_lengths_cost_nothing_in_the_end(self) -> None:
        penalty = PathLengthPenalty()
        costs = [float(penalty(torch.full((4,), 3.0))) for _ in range(1000)]
        assert costs[0] > 8 and costs[-1] < 1e-6
        assert float(penalty(torch.tensor([1.0, 5.0]))) == pytest.approx(4, rel=1e-3)


class TestAdaptiveAugmentation:
    def test_without_overfitting_images_stay_as_they_are(self) -> None:
        images = torch.randn(4, 1, SIZE, SIZE)
        torch.testing.assert_close(AdaptiveAugmentation()(images, draws()), images, rtol=1e-4, atol=1e-4)

    def test_at_probability_1_every_image_changes_and_the_same_draws_change_it_alike(self) -> None:
        augmentation, images = AdaptiveAugmentation(), torch.randn(8, 1, SIZE, SIZE)
        augmentation.probability.fill_(1)
        changed = augmentation(images, draws())
        assert ((changed - images).abs().mean((1, 2, 3)) > 0.1).all()
        torch.testing.assert_close(augmentation(images, draws()), changed)

    def test_about_the_share_p_of_images_is_brightened(self) -> None:
        augmentation = AdaptiveAugmentation()
        augmentation.probability.fill_(0.3)
        changed = augmentation(torch.ones(2000, 1, 8, 8), draws())[:, 0, 4, 4]
        assert (changed == 1).float().mean() == pytest.approx(0.7**2, abs=0.04)  # neither brightness nor contrast

    def test_a_dot_in_the_middle_is_shifted_along_both_axes_by_about_an_eighth_of_the_image(self) -> None:
        augmentation, line = AdaptiveAugmentation(), torch.linspace(-1, 1, SIZE)
        augmentation.probability.fill_(1)
        dot = torch.exp(-(line.square() + line[:, None].square()) / 0.02).expand(500, 1, -1, -1)
        moved = (augmentation(dot, draws()) - augmentation(torch.zeros_like(dot), draws()))[:, 0].abs()
        for axis in (1, 2):
            places = (moved.sum(3 - axis) * line).sum(1) / moved.sum((1, 2))
            assert places.std() == pytest.approx(0.25, rel=0.3)

    def test_a_quarter_turn_shows_every_pixel_elsewhere(self) -> None:
        augmentation, image = AdaptiveAugmentation(), torch.rand(1, 1, SIZE, SIZE)
        turn = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
        augmentation._moves = lambda images, draws: turn  # type: ignore[method-assign]
        expected = image.rot90(1, (2, 3))
        torch.testing.assert_close(augmentation(image, draws()), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(("logits", "direction"), [([3.0, 2, 1, 4], 1), ([3.0, 2, -1, 4], -1)])
    def test_p_rises_where_the_signs_of_real_logits_exceed_the_target_and_falls_below_it(
        self, logits: list[float], direction: int
    ) -> None:
        augmentation = AdaptiveAugmentation()
        augmentation.probability.fill_(0.5)
        history = []
        for step in range(8):
            augmentation.observe(torch.tensor(logits))
            augmentation.adapt(step)
            history.append(float(augmentation.probability))
        assert history[2] == 0.5, "it changed before the fourth step"
        assert (history[3] - 0.5) * direction > 0
        assert history[7] - history[3] == pytest.approx(history[3] - 0.5, rel=1e-3)

    def test_p_stays_between_0_and_1(self) -> None:
        augmentation = AdaptiveAugmentation()
        for start, logits in ((0.0, -torch.ones(400)), (1.0, torch.ones(400))):
            augmentation.probability.fill_(start)
            augmentation.observe(logits)
            augmentation.adapt(3)
            assert float(augmentation.probability) == start


class TestFields:
    def test_smooth_fields_survive_the_way_to_images_and_back(self) -> None:
        rows = torch.linspace(0, 3, 112).sin().square()
        fields = (rows[:, None] * rows)[None, None]
        images = to_images(fields, 56)
        assert images.shape == (1, 1, 56, 56) and images.min() >= -1 and images.max() <= 1
        torch.testing.assert_close(to_fields(images, (112, 112)), fields, rtol=0, atol=0.02)

    def test_the_window_has_the_head_in_its_middle_and_goes_back_to_its_place(self, head: Volume) -> None:
        moved = Volume(functional.pad(torch.from_numpy(head.array), (0, 0, 0, 30)).numpy(), head.affine)
        source = SlicedVolume.from_volume(moved, pixel_size=2.0)
        window = HeadWindow.from_source(source)
        fields = window.cut(source.slices)
        assert fields.shape[2:] == field_shape(2.0) == (112, 112)
        rows = torch.nonzero((fields > source.otsu).any(0)[0].any(1)).flatten()
        assert abs(rows.float().mean() - 55.5) < 1.5
        torch.testing.assert_close(window.put_back(fields), source.slices)
        centered = HeadWindow.from_source(SlicedVolume.from_volume(head, pixel_size=2.0))
        torch.testing.assert_close(centered.cut(source.slices[..., :48]), fields)


def baseline(generator: Generator) -> StoredCheckpoint:
    return StoredCheckpoint(
        kind="stylegan-inversion",
        weights=generator.state_dict(),
        settings={"channels": [*SETTINGS.channels], "latent": SETTINGS.latent},
        modality="T1w",
        pixel_size=2.0,
        provenance=Provenance("none: random weights", "CC0"),
    )


Inverter = Callable[[int, str], StyleGANInversion]


@pytest.fixture
def inversion(generator: Generator) -> Inverter:
    return lambda steps, features: StyleGANInversion(
        baseline(generator), device=torch.device("cpu"), steps=steps, features=features
    )


class TestInversion:
    @pytest.mark.parametrize("features", FEATURES)
    def test_a_generated_image_is_found_again_and_better_the_longer_one_looks(
        self, inversion: Inverter, features: str
    ) -> None:
        method = inversion(1, features)
        mean, deviation = method._spread_of_codes(torch.Generator().manual_seed(0))
        # Codes of other seeds may end in a local minimum.
        codes = torch.randn(2, SETTINGS.latent, generator=torch.Generator().manual_seed(2))
        targets = method._draw(mean + 0.2 * deviation * codes)
        errors = []
        for steps in (1, 20, 100):
            images = inversion(steps, features).invert(targets, torch.Generator().manual_seed(0), on_step=lambda: None)
            difference = FEATURES[features](images) - FEATURES[features](targets)
            errors.append(float(difference.square().mean()))
        assert errors[1] < 0.3 * errors[0] and errors[2] < 0.01 * errors[0]

    def test_a_slice_does_not_depend_on_its_batch(self, inversion: Inverter) -> None:
        targets = torch.rand(3, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        method = inversion(10, "intensity")

        def inverted(some: Tensor) -> Tensor:
            return method.invert(some, torch.Generator().manual_seed(0), on_step=lambda: None)

        torch.testing.assert_close(inverted(targets)[1:2], inverted(targets[1:2]), rtol=1e-3, atol=1e-4)
