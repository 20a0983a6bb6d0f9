"""Networks that may become variants of a portfolio."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.networks.channel_importance import importance_curves
from hdap.networks.lookahead import lookahead_scores
from hdap.networks.manifest import NetworkManifest
from hdap.networks.pruned_network import changed
from hdap.search.problem.defaults import DEFAULT_PROXY
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.proxies import PROXIES


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network in eval mode on the CPU, and the configuration (`groups`) that it is.

    `label` names it for people, `provenance` says what it was made from; `accuracy` is what is
    known of it without judging it (NaN: nothing).
    """

    label: str
    module: nn.Module
    counts: Counts
    provenance: Mapping[str, Any]
    accuracy: float = math.nan


@dataclass(frozen=True, eq=False)
class Candidates:
    """Networks of one dense `architecture`.

    `source` is `sparse`, `flops` or `elastic`. `importance` is that of the network they come from,
    of which it says how much `counts` of channels keep.
    """

    source: str
    architecture: Architecture
    importance: Importance
    networks: tuple[Candidate, ...]


def importance_in(module: nn.Module, architecture: Architecture) -> Importance:
    """How much of a network's importance a number of channels holds, as searches count it.

    `architecture` describes `module` itself. Raises InputError where weights are not finite.
    """
    curves = importance_curves(lookahead_scores(module, architecture), architecture)
    return Importance("weights", curves).with_proxy(PROXIES[DEFAULT_PROXY], architecture)


def require_same(architecture: Architecture, manifest: NetworkManifest) -> None:
    """Raise InputError unless a checkpoint's network is of this dense architecture."""
    if manifest.architecture != architecture.digest:
        raise changed(
            manifest.model, manifest.architecture, architecture.digest, "the checkpoint is of"
        )
