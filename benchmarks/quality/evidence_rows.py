"""The evidence as a table: a row a tuning, with all that was known before it."""

from typing import Any

import numpy as np
import polars as pl

from benchmarks.quality.evidence_plan import AGAIN, LONG, SHORT, Place, Settings
from benchmarks.quality.foretelling import TUNED_SHORTLY
from benchmarks.quality.frontier_plan import Work, model_of
from benchmarks.quality.scores import Kept, scores
from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats
from hdap.networks.tracing import trace

LEAST_NETWORKS = 8
"""Fewer say nothing of ranks: a network and seed of which less is done is left out."""
UNTUNED, SENSITIVITY = "un-tuned loss", "sensitivity, summed"


def rows_of(settings: Settings, work: Work) -> pl.DataFrame:
    """As `benchmarks.quality.cell.run_cell` gives them, of what is there."""
    found = [
        row
        for seed in range(settings.seeds)
        for network in settings.networks
        for row in _rows(Place(network, seed), work)
    ]
    return pl.DataFrame(found, infer_schema_length=None)


def _rows(place: Place, work: Work) -> list[dict[str, object]]:
    known = work.read(place.name)
    if known is None:
        return []
    counts = np.array(list(known["counts"].values()))
    proxies = known_before(place, counts, known)
    found = []
    for number, (name, row) in enumerate(zip(known["counts"], counts, strict=True)):
        tunings = {w: work.read(f"{place.name}/{number:02d}-{w}") for w in (SHORT, LONG, AGAIN)}
        if tunings[SHORT] is None or tunings[LONG] is None:
            continue
        line: dict[str, object] = {"network": place.network, "seed": place.seed}
        line |= {"dense": known["dense"]["accuracy"], "name": name}
        line["channels"] = " ".join(map(str, row))
        line |= {"simulated_ms": known["predicted_ms"][name]}
        line |= {proxy: float(values[number]) for proxy, values in proxies.items()}
        short = tunings[SHORT]
        line |= {"un-tuned accuracy": short["untuned"], UNTUNED: -short["untuned_loss"]}
        line |= {TUNED_SHORTLY: short["accuracy"], "tuned shortly, loss": -short["loss"]}
        for tune, way in enumerate((LONG, AGAIN)):
            if tunings[way] is not None:
                own = {"tune": tune, "accuracy": tunings[way]["accuracy"]}
                found.append(line | own | {"loss": tunings[way]["loss"]})
    return found if sum(line["tune"] == 0 for line in found) >= LEAST_NETWORKS else []


def known_before(place: Place, counts: Counts, known: dict[str, Any]) -> dict[str, Floats]:
    """Every proxy of n configurations, `n` numbers each."""
    architecture = trace(model_of(place.network))
    curves = {name: [np.array(c) for c in own] for name, own in known["curves"].items()}
    found = scores(Kept.of(architecture, counts, curves))
    rise = np.stack([np.array(c)[n] for c, n in zip(known["sensitivity"], counts.T, strict=True)])
    return found | {SENSITIVITY: -rise.sum(axis=0)}
