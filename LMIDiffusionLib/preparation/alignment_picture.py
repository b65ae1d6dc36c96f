"""Picture of an alignment for visual inspection: edges of each source over the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..images.itk import affine_of, array_of
from ..images.normalization import head_mask, to_unit_scale
from ..images.rendering import Column, gray, save_planes
from ..images.volume import Volume
from .alignment import Alignment

_COLOR = (1.0, 0.45, 0.1)
_SMOOTHING = 1.5  # voxels
_SHARE_OF_EDGES = 0.25  # of the head


def draw_alignment(path: Path, alignment: Alignment) -> None:
    """Draw three planes of the target with the edges of each source in color, in the format of the path's ending."""
    target = array_of(alignment.target).astype(np.float64)
    columns = []
    for modality, each in alignment.registrations.items():
        colors = gray(to_unit_scale(target))
        colors[edges(array_of(each.source))] = _COLOR
        columns.append(Column(f"edges of {modality}", colors))
    save_planes(path, Volume(target, affine_of(alignment.target)), columns)


def edges(volume: NDArray[np.number]) -> NDArray[np.bool_]:
    """Find ridges of the strongest gradients of a volume, about as many voxels in every contrast."""
    values = volume.astype(np.float32)
    slopes = ndimage.gaussian_gradient_magnitude(values, _SMOOTHING)
    strong = float(np.quantile(slopes[head_mask(values)], 1 - _SHARE_OF_EDGES))
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    thin = sitk.CannyEdgeDetection(image, strong / 2, strong, [_SMOOTHING] * 3)
    return np.asarray(sitk.GetArrayFromImage(thin).T > 0)
