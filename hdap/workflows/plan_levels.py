"""From what a person asks of levels to a stored plan: stages, search, table, file."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from hdap.elastic.level_file import (
    ClockEntry,
    ClusterEntry,
    LevelEntry,
    LevelFile,
    fleet_digest,
)
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import (
    ClusteringRecord,
    LevelPlanRecord,
    LevelRecord,
    OperatingPointRecord,
)
from hdap.requests.plan_request import LevelRequest
from hdap.search.nested.nested_chain import NestedRequest
from hdap.search.nested.nested_levels import Nested, nested
from hdap.search.nested.operating_points import OperatingPoints
from hdap.search.problem.budget import FlopsBand, parse_flops_range, parse_ms
from hdap.surrogate.models.base import FleetSurrogate
from hdap.workflows.artifacts import ensure_architecture, ensure_importance, require_measurements
from hdap.workflows.fleet_artifacts import ensure_clustering, ensure_surrogates

if TYPE_CHECKING:
    from pathlib import Path

    from hdap.fleet_data.store import Store


@dataclass(frozen=True)
class LevelPlan:
    """A stored plan with what it rests on."""

    record: LevelPlanRecord
    architecture: Architecture
    clustering: ClusteringRecord
    surrogate: FleetSurrogate
    found: Nested


def plan_levels(
    store: "Store",
    request: LevelRequest,
    weights: "Path | None",
    pretrained: bool,
    say: Say,
    progress: Callable[[int, int], None] | None = None,
) -> LevelPlan:
    """Make every stage current, search the levels and store them.

    Raises:
        NotEnoughDataError: nothing, or too little, was measured of the model.
        InfeasibleError: some cluster meets the target at some clock with no allowed network.
        InputError: a setting is out of range, or no clock was ever reported.
    """
    target = parse_ms(request.target_latency, "the target latency", "30ms")
    clocks = _clocks(request.clocks)
    architecture = ensure_architecture(store, request.model, say)
    require_measurements(store, request.model)
    band = _band(request, architecture)
    clustering = ensure_clustering(store, say)
    surrogate = ensure_surrogates(store, architecture, clustering, say)
    if not surrogate.context_range and any(clock != 1.0 for clock in clocks):
        raise InputError(
            f"levels for other clocks need rows that report their clock, but those of "
            f"{request.model} do not: load rows with `cpu_freq_mhz`, or give --clocks 1.0"
        )
    importance = ensure_importance(store, architecture, weights, pretrained, say)
    shares = np.array([c.weight_share for c in clustering.clusters])
    points = OperatingPoints.every(surrogate, clocks, shares)
    found = nested(
        NestedRequest(
            points,
            target,
            importance,
            band,
            request.min_levels,
            request.max_levels,
            request.step or surrogate.step,
            request.min_width,
            risk=request.risk,
            threshold=request.threshold,
            seed=request.seed,
        ),
        progress,
    )
    record = _record(store, request, target, clustering, points, found)
    record = replace(record, id=store.save_level_plan(record))
    return LevelPlan(record, architecture, clustering, surrogate, found)


def level_file(plan: LevelPlan) -> LevelFile:
    """The plan as it travels."""
    record, architecture = plan.record, plan.architecture
    counts = plan.found.chosen.counts
    return LevelFile(
        plan=record.id,
        simulated=record.simulated,
        model=record.model,
        architecture=record.architecture_digest,
        clustering=record.clustering_id,
        fleet=fleet_digest(plan.clustering),
        target_ms=record.target_ms,
        risk=record.settings["risk"],
        groups=tuple(group.name for group in architecture.groups),
        widths=tuple(architecture.widths.tolist()),
        levels=tuple(
            LevelEntry(
                **asdict(level) | {"accuracy": _or_none(level.accuracy)}, counts=tuple(row.tolist())
            )
            for level, row in zip(record.levels, counts, strict=True)
        ),
        clusters=tuple(_cluster(plan, k) for k in range(len(plan.clustering.clusters))),
    )


def _cluster(plan: LevelPlan, cluster: int) -> ClusterEntry:
    told = plan.clustering.clusters[cluster]
    seen = plan.surrogate.context_range
    mine = [p for p in plan.record.points if p.cluster == cluster]
    points = []
    for clock in sorted({p.clock for p in mine}):
        here = sorted((p for p in mine if p.clock == clock), key=lambda p: p.level)
        points.append(
            ClockEntry(
                clock,
                next(p.level for p in here if p.chosen),
                tuple(p.latency_ms for p in here),
                tuple(p.latency_low_ms for p in here),
                tuple(p.latency_high_ms for p in here),
            )
        )
    return ClusterEntry(
        cluster=cluster,
        weight_share=told.weight_share,
        description=told.description,
        clock_column=seen[cluster].column if seen else None,
        typical_mhz=_or_none(seen[cluster].typical) if seen else None,
        points=tuple(points),
    )


def _record(
    store: "Store",
    request: LevelRequest,
    target_ms: float,
    clustering: ClusteringRecord,
    points: OperatingPoints,
    found: Nested,
) -> LevelPlanRecord:
    architecture, chain = points.surrogate.architecture, found.chosen
    texts = format_channels(architecture, chain.counts)
    known = store.known_accuracies(architecture.model, texts)
    cost, size = flops(architecture, chain.counts), parameters(architecture, chain.counts)
    seen = points.predict(chain.counts)
    choices = [
        {"levels": len(c), "mean_kept": c.mean_kept, "worst_kept": c.worst_kept}
        for c in found.chains
    ]
    asked = {k: v for k, v in asdict(request).items() if k != "model"}
    return LevelPlanRecord(
        model=architecture.model,
        architecture_digest=architecture.digest,
        clustering_id=clustering.id,
        target_ms=target_ms,
        settings=asked | {"choices": choices, "advised": found.advised},
        simulated=store.has_simulated(),
        created_at=datetime.now(UTC),
        levels=tuple(
            LevelRecord(
                i, texts[i], int(cost[i]), int(size[i]), float(chain.kept[i]), float(known[i])
            )
            for i in range(len(chain))
        ),
        points=tuple(
            OperatingPointRecord(
                int(points.cluster[p]),
                float(points.clock[p]),
                i,
                float(seen.ms[i, p]),
                float(seen.low_ms[i, p]),
                float(seen.high_ms[i, p]),
                bool(chain.level[p] == i),
            )
            for p in range(len(points))
            for i in range(len(chain))
        ),
    )


def _clocks(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"`--clocks` must be shares of the typical clock, but got {text!r}: write "
            f"{LevelRequest.clocks}"
        ) from None


def _band(request: LevelRequest, architecture: Architecture) -> FlopsBand:
    dense = int(flops(architecture, architecture.widths[None])[0])
    if request.flops_range is None:
        return FlopsBand(1, dense)
    return FlopsBand(*parse_flops_range(request.flops_range, dense))


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
