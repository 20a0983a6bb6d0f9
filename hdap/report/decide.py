"""The decision that a database supports: from everything that is known of it to a few lines."""

import numpy as np

from hdap.fleet_data.costs import flops, format_flops, parameters
from hdap.fleet_data.errors import HdapError, InfeasibleError, StoreError
from hdap.fleet_data.wording import (
    UNKNOWN,
    amount,
    counted,
    interval,
    kept,
    latency,
    percent,
    times,
)
from hdap.report.candidate import ShippingCandidate, candidate
from hdap.report.decide_sizes import decide_on_sizes
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.provenance import search_command
from hdap.requests.search_request import request_of
from hdap.search.analysis.judgement import Conclusion, Interval
from hdap.surrogate.learning.pooled_cells import LEAST_FLEET
from hdap.workflows.decision import NextStep, Outcome, ShippingDecision
from hdap.workflows.next_commands import command_line, free_name, learnable, plan_command
from hdap.workflows.next_commands import search_command as search_usual
from hdap.workflows.text_cells import mean_and_median

MOST_WARNINGS = 3
"""What speaks against it, on one screen; the chapters have the rest."""


def decide(source: PictureSource) -> ShippingDecision:
    """What to ship of what a database holds, however little that is. Raises StoreError alone."""
    if source.study is None:
        return _before_searching(source)
    if request_of(source.study).networks is not None:
        return decide_on_sizes(source)
    try:
        found = candidate(source)
    except StoreError:
        raise
    except InfeasibleError as error:
        return _nothing_found(source, str(error))
    except HdapError as error:
        return ShippingDecision(
            "nothing yet", f"Nothing to ship of {source.model} yet", f"{error}."
        )
    return decision_on(source, found)


def _before_searching(source: PictureSource) -> ShippingDecision:
    counts = next((c for c in source.counts if c.model == source.model), None)
    if counts is None:
        step = NextStep("hdap ingest TELEMETRY.csv", "loads what the devices measured")
        told = "The database holds no measurements."
        return ShippingDecision("nothing yet", "Nothing to ship yet", told, steps=(step,))
    pruned = counts.configurations - bool(counts.dense_measurements)
    told = (
        f"{counts.devices:,} devices sent {counts.measurements:,} measurements of {counts.model}, "
        f"of {pruned:,} pruned networks; nothing was searched yet."
    )
    step = NextStep(search_usual(counts.model), "finds the network to ship")
    if not learnable(source.store, counts.model):
        purpose = f"asks devices for pruned networks; a search needs {LEAST_FLEET} at least"
        step = NextStep(plan_command(counts.model), purpose)
    return ShippingDecision(
        "nothing yet", f"Nothing to ship of {counts.model} yet", told, steps=(step,)
    )


def _nothing_found(source: PictureSource, why: str) -> ShippingDecision:
    study = source.searched
    step = NextStep(
        search_command(study, without=("floor", "min_accuracy")),
        "searches again without the floor, for the best that the budget allows",
    )
    headline = f"Ship nothing of study {study.name}: no trial keeps what was asked"
    return ShippingDecision("do not ship", headline, f"{_capital(why)}.", steps=(step,))


def decision_on(source: PictureSource, found: ShippingCandidate) -> ShippingDecision:
    """What to do with a trial."""
    outcome = _outcome(found)
    name = f"trial {found.number} of {found.study.model}"
    headline = f"Do not ship {name}" if outcome == "do not ship" else f"Ship {name}"
    return ShippingDecision(
        outcome,
        f"{headline} once it is measured" if outcome == "measure first" else headline,
        _sentence(source, found),
        tuple(_facts(source, found).items()),
        tuple(_warnings(source, found)),
        _steps(found, outcome),
    )


def _outcome(found: ShippingCandidate) -> Outcome:
    if found.over_dense.value <= 1.0:
        return "do not ship"
    conclusion = "not shown" if found.verdict is None else found.verdict.conclusion
    outcomes: dict[Conclusion, Outcome] = {"holds": "ship", "does not hold": "do not ship"}
    return outcomes.get(conclusion, "measure first")


def _sentence(source: PictureSource, found: ShippingCandidate) -> str:
    reach = found.reach
    where = f"on {reach.faster:,} of {reach.devices:,} devices"
    if reach.limit_ms is not None:
        where = f"{reach.in_time:,} of {reach.devices:,} devices within {reach.limit_ms:g} ms"
    told = (
        f"{times(found.over_dense.value)} faster than dense in the fleet's mean "
        f"({_known(source, found.word, found.over_dense)}), {where}; keeps {kept(found.kept)} of "
        f"importance"
    )
    if found.judged is None:
        return f"{told}; not yet measured."
    return f"{told}; {_kept(found)}."


def _kept(found: ShippingCandidate) -> str:
    """What measurements say of the promise, as a clause."""
    words = {
        "holds": "it keeps its promise",
        "does not hold": "it does not keep its promise",
        "not shown": "too little was measured to tell whether it keeps its promise",
    }
    return "not measured" if found.verdict is None else words[found.verdict.conclusion]


def _facts(source: PictureSource, found: ShippingCandidate) -> dict[str, str]:
    return {
        "What": _what(source, found),
        "How much faster": _speed(source, found),
        "On how many devices": _devices(found),
        "How sure": _sure(source, found),
        "What it costs": _costs(found),
    }


def _what(source: PictureSource, found: ShippingCandidate) -> str:
    architecture = source.problem.architecture
    whole = architecture.widths[None]
    dense_flops, dense_parameters = flops(architecture, whole), parameters(architecture, whole)
    told = (
        f"Trial {found.number} of study {found.study.name}: {format_flops(found.flops)} FLOPs "
        f"(dense {format_flops(int(dense_flops[0]))}), {amount(found.parameters)} parameters "
        f"(dense {amount(int(dense_parameters[0]))})."
    )
    return told + (f" The balanced one of {found.front:,} on its front." if found.front else "")


def _speed(source: PictureSource, found: ShippingCandidate) -> str:
    dense_word = "predicted"
    if found.dense.measured:
        dense_word = "simulated" if source.simulated else "measured"
    told = (
        f"{times(found.over_dense.value)} than dense, {times(found.over_uniform)} than the best "
        f"uniform network ({found.word}). Fleet mean {latency(found.predicted.value)} (predicted, "
        f"90 % interval {interval(found.predicted.low, found.predicted.high)}), dense "
        f"{mean_and_median(found.dense)}, {dense_word}"
    )
    if found.verdict is not None:
        # a verdict's means leave out who did not measure: what carries over is the ratio
        seen = found.predicted.value * found.verdict.fleet.ratio
        told += f"; {found.word} {latency(seen)}"
    if found.objective == "fleet mean":
        return f"{told}."
    value = percent(found.objective_value, 0)
    if found.objective_unit == "ms":
        value = latency(found.objective_value)
    return f"{told}. {_capital(found.objective)}: {value} (predicted)."


def _devices(found: ShippingCandidate) -> str:
    reach = found.reach
    told = (
        f"{reach.faster:,} of {reach.devices:,}, at the slow end of the interval too; at least "
        f"{times(reach.least_gain)} in each of {reach.clusters:,} clusters ({found.word})."
    )
    if reach.limit_ms is not None:
        told += (
            f" {reach.in_time:,} of {reach.devices:,} stay within {reach.limit_ms:g} ms "
            f"({found.word})."
        )
    if reach.outliers:
        told += f" {reach.outliers:,} behave like no other: nothing is promised of them."
    return told


def _sure(source: PictureSource, found: ShippingCandidate) -> str:
    records = source.surrogates
    errors = np.array([r.mape for r in records])
    error = f"{percent(float(np.nanmin(errors)))} to {percent(float(np.nanmax(errors)))}"
    told = f"Predictions err by {error} on networks that they had not seen, cluster by cluster"
    if not np.isfinite(errors).any():
        told = "How far predictions err is not known"
    if found.verdict is None:
        return f"Not measured on any device yet. {told}."
    verdict, devices = found.verdict, sum(c.devices for c in found.verdict.clusters)
    where = f"{counted(devices, 'device')}, for {percent(verdict.covered, 0)} of the fleet's weight"
    return f"{_capital(found.word)} on {where}: {_kept(found)}. {told}."


def _costs(found: ShippingCandidate) -> str:
    told = (
        f"Keeps {kept(found.kept)} of importance; the best uniform network keeps "
        f"{kept(found.uniform.kept_importance)}."
    )
    if found.tuned is not None and np.isfinite(found.tuned.accuracy_after):
        return (
            f"{told} Accuracy {percent(found.tuned.accuracy_after)} after tuning (run "
            f"{found.tuned.run}), {percent(found.tuned.accuracy_before)} before pruning."
        )
    if np.isfinite(found.accuracy):
        return f"{told} Accuracy {percent(found.accuracy)} before any tuning; tune it."
    return f"{told} Its accuracy was not judged: tune it and judge it before it ships."


def _warnings(source: PictureSource, found: ShippingCandidate) -> list[str]:
    told = list(found.verdict.reasons) if found.verdict is not None else []
    if found.over_dense.value > 1.0 and found.over_uniform < 1.0:
        told.append("it is no faster than uniform pruning, which keeps more")
    if found.study.state == "running":
        told.append(f"study {found.study.name} has not finished: hdap search --resume")
    told += [f"cluster {r.cluster}: {r.warning}" for r in source.surrogates if r.warning]
    told += [str(f) for f in source.findings if f.action != "nothing"]
    over = len(told) - MOST_WARNINGS
    more = [f"and {over:,} more, in the chapters below"] if over > 0 else []
    return [_capital(line) for line in told[:MOST_WARNINGS] + more]


def _steps(found: ShippingCandidate, outcome: Outcome) -> tuple[NextStep, ...]:
    study = found.study
    this = ("--study", study.name, "--trial", str(found.number))
    if outcome == "ship":
        purpose = "makes the network, to be tuned"
        return (NextStep(command_line("prune", *this, "--out", free_name("pruned")), purpose),)
    if outcome == "measure first":
        purpose = "writes what the representatives are to measure"
        return (NextStep(command_line("verify", *this, "--out", free_name("proof")), purpose),)
    if found.verdict is not None and found.verdict.off:
        again = search_command(study)
        return (NextStep(again, "fits anew with what was measured, and searches again"),)
    purpose = "asks devices for more measurements, so that predictions get better"
    return (NextStep(plan_command(study.model, study.name), purpose),)


def _known(source: PictureSource, word: str, over: Interval) -> str:
    if word == "predicted" and source.simulated:
        word = "predicted from simulated data"
    ends = interval(over.low, over.high)
    return word if ends == UNKNOWN else f"{word}, 90 % interval {ends}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
