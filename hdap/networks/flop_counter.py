"""torch's own counter of FLOPs, around a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hdap.networks.forward_pass import plain_attention, quiet

_ATEN = torch.ops.aten
_COUNTED = {
    *(_ATEN.convolution, _ATEN._convolution),
    *(_ATEN.mm, _ATEN.addmm, _ATEN.linear, _ATEN.bmm, _ATEN.baddbmm),
}


@contextmanager
def counting(network: nn.Module) -> Iterator[FlopCounterMode]:
    """Inside, what `network` computes is counted. Read it with `macs_of`."""
    counter = FlopCounterMode(display=False)
    with plain_operations(), _without_gradients(network), counter:
        yield counter


@contextmanager
def plain_operations() -> Iterator[None]:
    """Inside, attention and recurrences run as the products that they are made of, quietly."""
    # oneDNN computes a recurrence in one operation
    with quiet(), plain_attention(), torch.backends.mkldnn.flags(enabled=False):
        yield


def macs_of(counter: FlopCounterMode) -> dict[str, int]:
    """Multiply-accumulates of products by module name, and "" for the total."""
    result = {}
    for name, counts in counter.get_flop_counts().items():
        macs = sum(flops for operation, flops in counts.items() if operation in _COUNTED) // 2
        result["" if name == "Global" else name.partition(".")[2]] = macs
    return result


@contextmanager
def _without_gradients(network: nn.Module) -> Iterator[None]:
    """The counter follows modules by gradients, which no parameter has that is an output itself."""
    trained = [p for p in network.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
