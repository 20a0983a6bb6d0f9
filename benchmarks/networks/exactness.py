"""Whether a pruned network computes what the masked one does, whoever pruned it."""

import sys
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from benchmarks.networks.masking import Prune, masked, with_random_numbers, without_mixing
from hdap.networks.forward_pass import run

TOLERANCE = 1e-4
"""Of the largest output; in float64 rounding stays far below."""


@dataclass(frozen=True, eq=False)
class Compared:
    """`pruned` is in float64 with random numbers; `wrong` is empty where all is as it should be.

    `error`, `moved` and `silent` are as in `benchmarks.networks.rows.Proof`.
    """

    pruned: nn.Module
    wrong: str
    error: float = 0.0
    moved: float = 0.0
    silent: bool = False


def compared(dense: nn.Module, prune: Prune, images: Tensor) -> Compared:
    """Prune `dense` with random numbers in place of its own and hold it against the masked one.

    `prune` leaves what it is given as it is and takes away the same each time, whatever the weights
    are. `images` is a batch in any precision. Raises what `prune` and the networks raise.
    """
    images = images.double()
    network = with_random_numbers(dense, images)
    pruned = prune(network)
    before, after = (without_mixing(n, lambda n=n: run(n, images)) for n in (network, pruned))  # type: ignore[misc]
    if shapes(after) != shapes(before):
        return Compared(pruned, f"outputs are {shapes(after)}, not {shapes(before)}")
    for silent in (False, True):
        ideal = masked(network, prune, silent=silent)
        expected = without_mixing(ideal, lambda ideal=ideal: run(ideal, images))  # type: ignore[misc]
        error, moved = (difference(output, expected) for output in (after, before))
        if error <= TOLERANCE:
            return Compared(pruned, "", error, moved, silent)
    return Compared(pruned, f"outputs are {error:.1e} from the masked network's", error, moved)


def shapes(output: Any) -> Any:
    """An output with shapes in place of tensors, nested alike."""
    return pytree.tree_map_only(Tensor, lambda tensor: tuple(tensor.shape), output)


def difference(left: Any, right: Any) -> float:
    """The largest difference between two outputs, as a share of the largest number of a tensor.

    Both are nested alike; the largest float where a number is not finite.
    """
    worst = 0.0
    for a, b in zip(pytree.tree_leaves(left), pytree.tree_leaves(right), strict=True):
        if isinstance(a, Tensor) and a.numel():
            found = float((a - b).abs().max()) / (float(b.abs().max()) or 1.0)
            worst = max(worst, found if found < sys.float_info.max else sys.float_info.max)
    return worst
