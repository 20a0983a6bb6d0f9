"""What convolutions and linear layers make of inputs of which some are known.

Images are `1 x C x ...`, NaN where they depend on the image that a network gets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Numbers of one channel that differ by less, relative to the largest, differ by rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class KnownInputs:
    """What reaches a convolution or linear layer of O outputs and C inputs, T places a kernel.

    `values` (C, float64) are the constants that its inputs are at every position, NaN where an
    input is none; `fixed` (C) says of which inputs the whole image is known. `used` (O x C of the
    output's group) says which weights are not zero. `always` (T) says which places of the kernel
    lie inside the image at every position, `uneven` (as `used`) which weights lie inside at some
    positions and in the padding at others: what they make of a constant is none. It is filled in
    where an input is a constant other than 0.
    """

    values: Tensor
    fixed: Tensor
    used: Tensor
    always: Tensor
    uneven: Tensor


def sizes_of(weight: Tensor) -> Tensor:
    """Sums of magnitudes of kernels: outputs x inputs x places -> outputs x inputs."""
    if weight.shape[2] == 1:
        return weight[..., 0].abs()
    return weight.abs() @ weight.new_ones(weight.shape[2])


def settled(sizes: Tensor, known: Tensor, groups: int) -> Tensor:
    """Outputs that look at known inputs alone; `sizes` is outputs x inputs of their group."""
    unknown = (~known).to(sizes.dtype).view(groups, -1, 1)
    return (sizes.view(groups, -1, sizes.shape[1]) @ unknown == 0).flatten()


def convolved(
    func: Callable[..., Tensor],
    image: Tensor,
    weight: Tensor,
    rows: Tensor,
    used: Tensor,
    known: Tensor,
    call: Mapping[str, Any],
) -> Tensor | float:
    """The outputs `rows` without bias; inputs that they do not look at are left out."""
    if not used[rows].any():
        return 0.0
    if call.get("groups", 1) > 1:
        return func(image.nan_to_num(), weight, None, **call)[:, rows]
    columns = known & used[rows].any(0)
    return func(image[:, columns], weight[rows][:, columns], None, **call)


def given_to(
    func: Callable[..., Tensor],
    image: Tensor,
    known: Tensor,
    weight: Tensor,
    used: Tensor,
    call: Mapping[str, Any],
) -> KnownInputs:
    values = constants(image.flatten(2)[0], known)
    places = weight[0, 0].numel()
    always = torch.ones(places, dtype=torch.bool, device=image.device)
    uneven = torch.zeros_like(used)
    constant = values.nan_to_num() != 0
    if places > 1 and constant.any():
        one = torch.eye(places, device=image.device, dtype=image.dtype)
        inside = func(
            torch.ones_like(image[:, :1]),
            one.view(places, 1, *weight.shape[2:]),
            None,
            **{**call, "groups": 1},
        )
        inside = inside.flatten(2)[0].bool()
        always = inside.all(1)
        sometimes = inside.any(1) & ~always
        if sometimes.any():
            columns = constant.view(-1, weight.shape[1]).any(0)
            uneven[:, columns] = sizes_of(weight[:, columns].flatten(2)[..., sometimes]) != 0
    return KnownInputs(values, known, used, always, uneven)


def constants(images: Tensor, known: Tensor) -> Tensor:
    """The one number in each row of `images` (C x positions), NaN where it is not one."""
    values = torch.full((len(images),), torch.nan, dtype=torch.float64, device=images.device)
    rows = images[known].double()
    if len(rows):
        low, high = rows.amin(1), rows.amax(1)
        same = high - low <= _ROUNDING * torch.maximum(high.abs(), low.abs())
        values[known] = torch.where(same, rows.mean(1), torch.nan)
    return values
