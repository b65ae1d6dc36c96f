"""Upsampling guided by the source."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from LMIDiffusionLib.images.slice_grid import SliceGrid
from LMIDiffusionLib.images.volume import read_volume
from LMIDiffusionLib.jobs.demo import sample_scan
from LMIDiffusionLib.translation.guided_upsampling import guided_upsampling


def shrink(images: Tensor) -> Tensor:
    return functional.interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True)


def enlarge(images: Tensor) -> Tensor:
    return functional.interpolate(images, scale_factor=2.0, mode="bilinear")


@pytest.fixture
def fine() -> Tensor:
    """Three slices of the bundled scan on its own pixels, (3, 1, 64, 80), up to 0.9."""
    volume = read_volume(sample_scan("sri24_PDw"))
    planes = SliceGrid(volume.array.shape, volume.affine, pixel_size=2.0).plane_slices(volume.array)
    return planes[30:60:10, :, :64, :80] / planes.max() * 0.9


def test_guided_upsampling_of_the_source_and_its_negative_beats_interpolation(fine: Tensor) -> None:
    for image in (fine.clamp(0, 1), (0.9 - fine).clamp(0, 1)):
        guided = guided_upsampling(shrink(image), shrink(fine), fine)
        plain = enlarge(shrink(image))
        assert (guided - image).abs().mean() < 0.6 * (plain - image).abs().mean()


def test_an_image_unrelated_to_the_guide_is_interpolated(fine: Tensor) -> None:
    flat = torch.full_like(shrink(fine), 0.4)
    torch.testing.assert_close(guided_upsampling(flat, shrink(fine), fine), torch.full_like(fine, 0.4))


def test_upsampling_with_a_smooth_guide_is_plain_interpolation(fine: Tensor) -> None:
    images = shrink(fine).clamp(0, 1)
    result = guided_upsampling(images, torch.full_like(images, 0.3), torch.full_like(fine, 0.3))
    torch.testing.assert_close(result, enlarge(images))


def test_the_result_stays_in_the_unit_range_and_takes_any_larger_shape() -> None:
    generator = torch.Generator().manual_seed(0)
    images, guide = torch.rand(2, 2, 1, 16, 20, generator=generator).round()
    result = guided_upsampling(images, guide, torch.rand(2, 1, 37, 41, generator=generator))
    assert result.shape == (2, 1, 37, 41)
    assert 0 <= float(result.min()) <= float(result.max()) <= 1
