"""From a sparse network to a smaller dense one that computes the same.

DNNShifter (Eccles et al., 2023, arXiv 2309.06973) deletes filters that are entirely zero with the
inputs that read them. Here the constants that such filters still give are carried on, so
that nothing changes at all, and everything goes that nobody needs: see
`hdap.portfolio.redundancy`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.networks.channel_graph import ChannelGraph, refuse
from hdap.networks.following import follow_channels
from hdap.networks.forward_pass import in_eval_mode, leaves, random_images, run
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import find_kind
from hdap.networks.surgery import keep, losses
from hdap.portfolio.bias_folding import fold_constants, own_tensors, sharing_copy
from hdap.portfolio.constant_propagation import propagate_constants
from hdap.portfolio.redundancy import Redundancy, find_redundancy

Lost = Mapping[str, tuple[Indices, Indices]]
"""Inputs and outputs that go, by layer."""

TOLERANCE = 1e-4
"""How far the dense network may be from the sparse one, relative to the largest output."""


@dataclass(frozen=True, eq=False)
class Densified:
    """A smaller network in eval mode that computes what the sparse one does.

    `counts` (groups) are its channels in the given architecture, `kept` which those are and
    `needed` those of them that are read; `removed` is how many went. `kept_constant` says in words
    which channels stay although they do not depend on the image. `seconds` is the time of the
    surgery; the comparison is not in it.
    """

    module: nn.Module
    counts: Counts
    kept: tuple[Indices, ...]
    needed: tuple[Indices, ...]
    removed: int
    kept_constant: tuple[str, ...]
    seconds: float


def densify(
    module: nn.Module,
    architecture: Architecture,
    *,
    step: int = 1,
    graph: ChannelGraph | None = None,
) -> Densified:
    """Remove every channel of a sparse network that is not needed, without retraining.

    `architecture` describes `module`, which is not changed; zeros in its weights are the masks.
    Where all channels of a width group could go, the fewest that it may have stay. With `step`
    counts are rounded up to multiples of it, as fast kernels want them, by channels that nobody
    reads. `graph` saves time when several networks of one model are made dense.

    Raises:
        InputError: the network gives numbers that are not finite.
        UnsupportedModelError: what is left computes something else, which names the first layer;
            the network takes several inputs.
    """
    started = time.perf_counter()
    shape = architecture.one_input("a portfolio")
    graph = graph or follow_channels(module, shape)
    graph.require_plain("a portfolio")
    constants = propagate_constants(module, shape)
    found = find_redundancy(module, architecture, graph, constants, step)
    network = sharing_copy(module)
    fold_constants(network, constants, found)
    network = keep(network, architecture, found.kept, graph=graph, in_place=True).eval()
    own_tensors(network, module)
    seconds = time.perf_counter() - started
    _compare(module, network, architecture, graph, found)
    counts = np.array([len(stay) for stay in found.kept], dtype=np.int64)
    removed = int((architecture.widths - counts).sum())
    return Densified(
        module=network,
        counts=counts,
        kept=found.kept,
        needed=found.needed,
        removed=removed,
        kept_constant=found.remaining,
        seconds=seconds,
    )


def zero_share(module: nn.Module) -> float:
    """The share of weights of convolutions and linear layers that are exactly zero."""
    weights = [
        layer.get_parameter("weight")
        for layer, kind in ((m, find_kind(m)) for m in module.modules())
        if kind is not None and kind.has_matrix and not kind.refusal(layer)
    ]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / sum(weight.numel() for weight in weights)


def _compare(
    sparse: nn.Module,
    dense: nn.Module,
    architecture: Architecture,
    graph: ChannelGraph,
    found: Redundancy,
) -> None:
    image = random_images(sparse, architecture.one_input("a portfolio"), 1, seed=0)
    with in_eval_mode(sparse):
        expected, got = leaves(run(sparse, image)), leaves(run(dense, image))
        if not all(torch.isfinite(tensor).all() for tensor in expected):
            raise InputError(
                "a sparse network must give finite numbers, but gives others for a random image; "
                "check the weights"
            )
        error = max(_difference(*pair) for pair in zip(expected, got, strict=True))
        if error <= TOLERANCE:
            return
        stay, needed = (losses(graph, architecture, x) for x in (found.kept, found.needed))
        layer = _first_different(sparse, dense, image, stay, needed)
    raise refuse(
        layer or architecture.layers[-1].name,
        f"gives another result once channels that nobody needs are gone (by {error:.1e})",
    )


def _first_different(
    sparse: nn.Module, dense: nn.Module, image: Tensor, gone: Lost, unneeded: Lost
) -> str:
    """The first norm whose needed channels differ; a layer before one may differ by a shift.

    `gone` are the channels that each layer lost, `unneeded` those that nobody needs.
    """
    before, after = _norm_outputs(sparse, image), _norm_outputs(dense, image)
    for name, expected in before.items():
        every = np.arange(expected.shape[1])
        stay, needed = (
            np.setdiff1d(every, lost[name][1] if name in lost else []) for lost in (gone, unneeded)
        )
        got = after[name][:, np.searchsorted(stay, needed)]
        if not _difference(expected[:, needed], got) <= TOLERANCE:
            return name
    return ""


def _norm_outputs(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def hook_for(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: object, output: Tensor) -> None:
            found[name] = output.detach().clone()

        return note

    handles = [
        module.register_forward_hook(hook_for(name))
        for name, module in network.named_modules()
        if _is_norm(module)
    ]
    run(network, image)
    for handle in handles:
        handle.remove()
    return found


def _is_norm(module: nn.Module) -> bool:
    kind = find_kind(module)
    return kind is not None and not kind.has_matrix and kind.absorbs(module)


def _difference(expected: Tensor, got: Tensor) -> float:
    """The largest difference relative to the largest number expected."""
    if not expected.numel():
        return 0.0
    return float((got - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
