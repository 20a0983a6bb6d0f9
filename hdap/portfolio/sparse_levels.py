"""Variants from sparse levels: each made dense, and where asked slimmed further."""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.networks.following import follow_channels
from hdap.networks.tracing import describe, trace
from hdap.portfolio.candidates import Candidate, Candidates, importance_in, require_same
from hdap.portfolio.densify import Densified, densify
from hdap.portfolio.fleet_latency import FleetPredictor
from hdap.portfolio.narrowing import WeightedLatency
from hdap.portfolio.slimming import STEP, Slim, SlimRequest, slim
from hdap.portfolio.sparse_checkpoint import SparseLevel
from hdap.search.problem.budget import parse_flops
from hdap.training.datasets import Data
from hdap.training.network_quality import evaluate

_HOLD = re.compile(r"accuracy:(\d*\.?\d+)")


@dataclass(frozen=True)
class SlimOrder:
    """How far every level is slimmed, and with what.

    `asked` is `50%` of the FLOPs that a level has once it is dense, `0.5G` FLOPs, or
    `accuracy:0.99` of the accuracy that it has then. Where a `fleet` is known its latencies choose
    the channels.
    """

    asked: str
    data: Data
    fleet: FleetPredictor | None = None
    seed: int = 0

    @property
    def steps(self) -> tuple[int, ...]:
        """Grids of channel counts to try: what pays as measured, then any; else what often pays."""
        return (STEP,) if self.fleet is None else tuple({self.fleet.surrogate.step: 0, 1: 0})

    def request(self, architecture: Architecture, dense: Densified, step: int) -> SlimRequest:
        """What that is for one level. Raises InputError where `asked` is none of the forms."""
        hold = _HOLD.fullmatch(self.asked)
        if hold:
            accuracy = evaluate(dense.module, self.data.validation).accuracy
            least = min(float(hold[1]), 1.0) * accuracy
            return SlimRequest(least_accuracy=least, step=step, seed=self.seed)
        now = int(flops(architecture, dense.counts[None])[0])
        return SlimRequest(flops=str(self._flops(now)), step=step, seed=self.seed)

    def _flops(self, now: int) -> int:
        try:
            return parse_flops(self.asked, now)
        except InfeasibleError:
            return now  # it has fewer already
        except InputError as error:
            raise InputError(
                f"`--slim` must be a share (50%), FLOPs (0.5G) or accuracy:0.99, but got "
                f"{self.asked!r}"
            ) from error


def from_sparse(
    path: Path, levels: Sequence[SparseLevel], order: SlimOrder | None, say: Say
) -> Candidates:
    """One network a level that `read_sparse` found in `path`, and with `order` a slim one too.

    Raises UnsupportedModelError as `densify`, InputError where the model is another one by now or
    `order` asks for nothing known.
    """
    widest, manifest = levels[0].checkpoint.module, levels[0].checkpoint.manifest
    architecture = describe(widest, manifest.model, manifest.input_shape, manifest.channels)
    graph = follow_channels(widest, architecture.input_shape)
    networks = []
    for level in levels:
        dense = densify(level.checkpoint.module, architecture, step=STEP, graph=graph)
        say(
            f"{level.name}: {level.density:.1%} of the weights, {dense.removed:,} channels of "
            f"{int(architecture.widths.sum()):,} removed in {dense.seconds:.2f} s"
        )
        networks.append(_dense(path, level, dense))
        if order is not None:
            networks += _slimmed(networks[-1], level, architecture, order, dense, say)
    importance = importance_in(widest, architecture)
    return Candidates("sparse", architecture_of(levels), importance, tuple(networks))


def architecture_of(levels: Sequence[SparseLevel]) -> Architecture:
    """The dense architecture of sparse levels, which may be of a network that was pruned before.

    Raises InputError where the model is another one by now.
    """
    manifest = levels[0].checkpoint.manifest
    architecture = trace(manifest.model)
    require_same(architecture, manifest)
    return architecture


def _dense(path: Path, level: SparseLevel, dense: Densified) -> Candidate:
    manifest = level.checkpoint.manifest
    provenance: dict[str, Any] = {
        "from": "sparse",
        "checkpoint": str(path.absolute()),
        "level": level.name,
        "density": level.density,
        "train_seconds": level.train_seconds,
        "weights_sha256": manifest.safetensors_sha256 or manifest.weights_sha256,
        "seed": manifest.seed,
        "removed_channels": dense.removed,
        "kept_constant": list(dense.kept_constant),
        "surgery_seconds": dense.seconds,
    }
    accuracy = math.nan if level.accuracy is None else level.accuracy
    return Candidate(level.name, dense.module, dense.counts, provenance, accuracy)


def _slimmed(
    candidate: Candidate,
    level: SparseLevel,
    architecture: Architecture,
    order: SlimOrder,
    dense: Densified,
    say: Say,
) -> list[Candidate]:
    """The slim network of a level; none where no channel can go."""
    found = _slim(level, architecture, order, dense)
    if found is None:
        say(f"{level.name} stays as it is: no channel can go")
        return []
    made_from = {
        **candidate.provenance,
        "slim": order.asked,
        "surgery_seconds": found.surgery_seconds,
        "choice_seconds": found.choice_seconds,
        "recalibration_seconds": found.recalibration_seconds,
    }
    label = f"{level.name} slim"
    return [Candidate(label, found.module, found.counts, made_from, found.accuracy)]


def _slim(
    level: SparseLevel, architecture: Architecture, order: SlimOrder, dense: Densified
) -> Slim | None:
    fleet = order.fleet
    known = None if fleet is None else WeightedLatency(fleet.surrogate, fleet.weights)
    for step in order.steps:
        request = order.request(architecture, dense, step)
        with suppress(InfeasibleError):
            found = slim(
                level.checkpoint.module,
                architecture,
                request,
                order.data,
                fleet=known,
                dense=dense,
            )
            if (found.counts != dense.counts).any():
                return found
    return None
