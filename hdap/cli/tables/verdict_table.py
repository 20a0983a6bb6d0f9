"""How a verdict of `hdap verify` is printed."""

from math import isfinite
from typing import Any

from rich.markup import escape

from hdap.cli.tables.arms_table import arms_document, show_arms
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import note, show_rows
from hdap.fleet_data.wording import UNKNOWN, counted, interval, latency, percent, times
from hdap.search.analysis.judgement import (
    SAMPLE_WITHIN,
    ClusterCheck,
    Conclusion,
    Interval,
    Verdict,
)
from hdap.workflows.next_commands import command_line, free_name, plan_command
from hdap.workflows.verify_trial import TrialInQuestion, Verified


def document(done: Verified) -> dict[str, Any]:
    """The verdict as `--json` prints it."""
    verdict = done.verdict
    return {
        "study": done.trial.study.name,
        "trial": done.trial.number,
        "model": done.trial.study.model,
        "latency": _word(done),
        "simulated": done.simulated,
        "runtime": done.runtime,
        "conclusion": verdict.conclusion,
        "holds": verdict.holds,
        "reasons": verdict.reasons,
        "precisions": arms_document(done.arms),
        "covered_weight": verdict.covered,
        "fleet": _check(verdict.fleet),
        "clusters": [
            {"cluster": c.cluster, "devices": c.devices, **_check(c)} for c in verdict.clusters
        ],
        "speed_ups": [
            {
                "over": up.over,
                "promised": up.promised,
                "measured": _list(up.measured),
                "state": up.state,
            }
            for up in verdict.speed_ups
        ],
        "sample": {
            "devices": verdict.sample.device,
            "cluster": verdict.sample.cluster,
            "deviation": verdict.sample.deviation,
            "agreeing": verdict.sample.agreeing,
            "holds": verdict.sample.holds,
        },
    }


def _check(check: ClusterCheck) -> dict[str, Any]:
    return {
        "predicted_ms": _list(check.predicted),
        "measured_ms": _list(check.measured),
        "state": check.state,
        "holds": check.holds,
    }


def _list(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def show(done: Verified) -> None:
    """The verdict as a person reads it."""
    verdict, trial = done.verdict, done.trial
    word, name = _word(done), f"trial {trial.number} of {trial.study.name}"
    _clusters(done, word, name)
    _speed_ups(verdict, word)
    show_arms(done.arms, word)
    sample = verdict.sample
    if len(sample.device):
        others = counted(len(sample.device), "other device")
        note(
            f"clustering: {sample.agreeing} of {others} as their cluster ({word}, within "
            f"{percent(SAMPLE_WITHIN, 0)})"
        )
    else:
        note("clustering: not checked, no other device measured")
    colours: dict[Conclusion, str] = {"holds": "green", "not shown": "yellow"}
    colour = f"bold {colours.get(verdict.conclusion, 'red')}"
    kept = " keeps its promise" * verdict.holds
    told = f"[{colour}]{verdict.conclusion}[/{colour}]: {escape(name)}{kept} ({word})"
    note(told, markup=True)
    for reason in verdict.reasons:
        note(f"  {reason}")
    if verdict.conclusion == "not shown":
        note("measure its bundle on more devices, or longer (--rounds 3), and ingest that")
    next_steps(*_next(verdict, trial))


def _next(verdict: Verdict, trial: TrialInQuestion) -> list[str]:
    study = trial.study
    this = ("--study", study.name, "--trial", trial.number)
    if verdict.holds:
        return [command_line("prune", *this, "--out", free_name("pruned"))]
    if verdict.off:
        return [command_line("fit", "--model", study.model)]
    if verdict.conclusion == "not shown":
        return [command_line("verify", *this, "--out", free_name("proof"))]
    if not verdict.sample.holds:
        return ["hdap cluster"]
    return [plan_command(study.model, study.name)]


def _word(done: Verified) -> str:
    return "simulated" if done.simulated else "measured"


def _clusters(done: Verified, word: str, name: str) -> None:
    how = "" if done.simulated else f" ({done.runtime or 'unknown runtime'})"
    show_rows(
        (*done.verdict.clusters, done.verdict.fleet),
        ("cluster", "left", lambda c: "fleet" if c.cluster < 0 else f"{c.cluster}"),
        ("devices", "right", lambda c: f"{c.devices}"),
        ("predicted", "right", lambda c: latency(c.predicted.value)),
        ("90 % interval", "right", lambda c: interval(c.predicted.low, c.predicted.high)),
        (word, "right", lambda c: latency(c.measured.value)),
        ("90 % interval", "right", lambda c: interval(c.measured.low, c.measured.high)),
        ("latency", "left", lambda c: c.words),
        title=f"{name}: predicted against {word} latency{how}",
    )


def _speed_ups(verdict: Verdict, word: str) -> None:
    show_rows(
        verdict.speed_ups,
        ("speed-up over", "left", lambda up: up.over),
        ("promised", "right", lambda up: times(up.promised)),
        (word, "right", lambda up: times(up.measured.value)),
        ("90 % interval", "right", lambda up: _ends(up.measured)),
        ("", "left", lambda up: up.words),
        title=f"speed-ups, {word} within devices",
    )


def _ends(ratio: Interval) -> str:
    return f"{ratio.low:.2f}-{ratio.high:.2f}" if isfinite(ratio.low) else UNKNOWN
