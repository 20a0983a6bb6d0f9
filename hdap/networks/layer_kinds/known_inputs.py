"""What is known of the inputs of a layer whatever the image is.

Images are `1 x C x ...`, NaN where they depend on the image that a network gets.
"""

from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class Propagated:
    """What a torch function that a layer calls makes of an image with NaNs.

    `by` is the tensor that says which layer called, `given` what is known of the inputs of one with
    a matrix.
    """

    output: Tensor
    by: Tensor | None = None
    given: KnownInputs | None = None


def settled(sizes: Tensor, known: Tensor, groups: int) -> Tensor:
    """Outputs that look at known inputs alone; `sizes` is outputs x inputs of their group."""
    unknown = (~known).to(sizes.dtype).view(groups, -1, 1)
    return (sizes.view(groups, -1, sizes.shape[1]) @ unknown == 0).flatten()


def constants(images: Tensor, known: Tensor) -> Tensor:
    """The one number in each row of `images` (C x positions), NaN where it is not one."""
    values = torch.full((len(images),), torch.nan, dtype=torch.float64, device=images.device)
    rows = images[known].double()
    if len(rows):
        low, high = rows.amin(1), rows.amax(1)
        same = high - low <= _ROUNDING * torch.maximum(high.abs(), low.abs())
        values[known] = torch.where(same, rows.mean(1), torch.nan)
    return values
