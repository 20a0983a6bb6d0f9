"""What is asked of one network: is it accepted, is that right, does it export. By name, so that
each question can be asked in a process of its own."""

import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from benchmarks.networks.exactness import compared
from benchmarks.networks.rows import Proof, Traced
from hdap.fleet_data.architecture import Architecture, Counts, one_input
from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.errors import HdapError
from hdap.networks.counting import size_of
from hdap.networks.exporting import export
from hdap.networks.forward_pass import quiet, random_images
from hdap.networks.loading import load_model
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace


def traced(name: str) -> tuple[Traced, str]:
    """The answer of `hdap model`, and the description as JSON ("" where it is refused)."""
    started = time.perf_counter()
    try:
        architecture = trace(name)
    except HdapError as error:
        return Traced(time.perf_counter() - started, str(error)), ""
    seconds = time.perf_counter() - started
    rows = np.array([architecture.widths, architecture.multiples, halved(architecture)])
    dense, smallest, half = (int(n) for n in flops(architecture, rows))
    return (
        Traced(
            seconds,
            groups=len(architecture.groups),
            flops=dense,
            smallest=smallest / max(dense, 1),
            half=half / max(dense, 1),
        ),
        architecture.to_json(),
    )


def halved(architecture: Architecture) -> Counts:
    """Half of every width group, rounded down to its multiple but never to nothing: `groups`."""
    places = architecture.widths // architecture.multiples
    half: Counts = np.maximum(places // 2, 1) * architecture.multiples
    return half


def proved(name: str, description: str) -> Proof:
    """Prune the network at random and hold it against what was promised."""
    started = time.perf_counter()
    architecture = Architecture.from_json(description)
    with quiet():
        loaded = load_model(name)
        shape = one_input(loaded.input_shape, name, "this proof")
        images = random_images(loaded.module, shape, 1, seed=0)
        counts, scores = _at_random(name, architecture)
        found = compared(
            loaded.module, lambda dense: prune(dense, architecture, counts, scores), images
        )
    wrong = _sizes_wrong(found.pruned, architecture, counts) or found.wrong
    return Proof(time.perf_counter() - started, wrong, found.error, found.moved, found.silent)


def _at_random(name: str, architecture: Architecture) -> tuple[Counts, list[np.ndarray[Any, Any]]]:
    """How many channels each width group keeps, and which; the same in every run."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    whole = architecture.widths // architecture.multiples
    # weights that are standardised have no variance over one input
    places = rng.integers(np.minimum(whole, 2), whole + 1)
    return places * architecture.multiples, [rng.random(g.width) for g in architecture.groups]


def _sizes_wrong(pruned: nn.Module, architecture: Architecture, counts: Counts) -> str:
    size, row = size_of(pruned, architecture), counts[None]
    promised = int(flops(architecture, row)[0]), int(parameters(architecture, row)[0])
    counted = size.flops, size.parameters
    return "" if counted == promised else f"{counted} FLOPs and parameters, not {promised}"


def exported(name: str, folder: Path) -> float:
    """Prune to half, write as ONNX and compare: the largest relative difference from torch.

    Raises `HdapError` where it cannot be written or computes something else.
    """
    architecture = trace(name)
    network = prune(load_model(name).module, architecture, halved(architecture))
    return export(network, architecture.input_shape, "onnx", folder / "network.onnx").error
