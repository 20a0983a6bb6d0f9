"""Pooling, resizing, padding: every channel by itself, over the places of an image."""

import re

from hdap.networks.walk.recorder import Rule, Walk
from hdap.networks.walk.run_records import Operation

_NAMES = """
avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices
adaptive_avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d
adaptive_max_pool3d fractional_max_pool2d reflection_pad1d reflection_pad2d reflection_pad3d
replication_pad1d replication_pad2d replication_pad3d upsample_nearest1d upsample_nearest2d
upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
upsample_linear1d upsample_bilinear2d _upsample_bilinear2d_aa upsample_bicubic2d
_upsample_bicubic2d_aa upsample_trilinear3d grid_sampler_2d grid_sampler_3d
torchvision::roi_align torchvision::roi_pool
"""


def spatial(walk: Walk, operation: Operation) -> None:
    image = operation.inputs[0]
    digits = re.search(r"([123])[dD]", operation.name)
    places = int(digits[1]) if digits else 2
    channels = range(image.dim() - places)
    labels = walk.only(image, channels, "is pooled or resized over channels")
    for other in operation.inputs[1:]:
        walk.pin(other, f"says where to look in {walk.place}")
    for made in operation.outputs:
        if made.dim() == image.dim():
            walk.label(made, labels)


RULES: dict[str, Rule] = {name: spatial for name in _NAMES.split()}
