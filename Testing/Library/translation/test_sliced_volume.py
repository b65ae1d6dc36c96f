"""A source cut into slices, and what is put back into its place."""

import numpy as np
import torch
from grids import affine_of
from scipy import ndimage

from LMIDiffusionLib.images.volume import Volume
from LMIDiffusionLib.translation.guided_upsampling import to_plane_pixels
from LMIDiffusionLib.translation.sliced_volume import SlicedVolume


def test_guided_upsampling_restores_detail_along_the_finer_axis_of_anisotropic_pixels() -> None:
    """Sagittal slices of 4 mm show an axial one by pixels of 4 x 0.5 mm."""
    fine = np.random.default_rng(0).random((20, 120, 30))
    array = np.pad(0.4 + 0.5 * ndimage.gaussian_filter1d(fine, 1.0, 1), ((4, 4), (20, 20), (2, 2)))
    source = SlicedVolume.from_volume(Volume(array.astype(np.float32), affine_of((4.0, 0.5, 3.0))), pixel_size=2.0)
    indices = [10, 15, 20]
    planes = source.plane_slices[indices]
    slices, grid = source.slices[indices], source.grid
    errors = [
        (images - planes)[..., 5:-5, 25:-25].abs().mean()
        for images in (to_plane_pixels(slices, grid, slices, planes), grid.to_plane(slices))
    ]
    assert errors[0] < 0.7 * errors[1]


def test_noise_free_air_is_unchanged() -> None:
    array = np.pad(np.full((30, 36, 20), 80.0, np.float32), ((8, 8), (8, 8), (0, 0)))
    source = SlicedVolume.from_volume(Volume(array, affine_of((2.0, 2.0, 2.0))), pixel_size=2.0)
    result = source.with_air(torch.full((2, 1, 46, 52), 0.3), [3, 4])
    assert result[..., :4, :].abs().max() == 0
    assert (result[..., 12:34, 12:40] == 0.3).all()
