"""How a verdict of `hdap verify` is printed."""

from math import isnan
from typing import Any

from hdap.cli.terminal.output import next_steps, out, show_rows
from hdap.search.analysis.verification import ClusterCheck, Interval, Verdict
from hdap.workflows.verify_trial import Verified


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
        "holds": verdict.holds,
        "reasons": verdict.reasons,
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
    sample = verdict.sample
    if len(sample.device):
        out().print(
            f"clustering: {sample.agreeing} of {len(sample.device)} other devices behave as their "
            f"cluster ({word}, within 10 %)"
        )
    else:
        out().print("clustering: not checked, no other device measured")
    if verdict.holds:
        out().print(f"[bold green]holds[/bold green]: {name} keeps its promise ({word})")
        next_steps(f"hdap trials --study {trial.study.name} --trial {trial.number}")
        return
    out().print(f"[bold red]does not hold[/bold red]: {name} ({word})")
    for reason in verdict.reasons:
        out().print(f"  {reason}", markup=False, soft_wrap=True)
    if any(up.state == "refuted" for up in verdict.speed_ups) or not verdict.fleet.holds:
        next_steps(
            f"hdap plan --model {trial.study.model} --from-study {trial.study.name} --out more"
        )
    else:
        next_steps("hdap measure BUNDLE --rounds 3", "hdap ingest BUNDLE/measured-*.csv")


def _word(done: Verified) -> str:
    return "simulated" if done.simulated else "measured"


def _clusters(done: Verified, word: str, name: str) -> None:
    how = "" if done.simulated else f" ({done.runtime or 'unknown runtime'})"
    show_rows(
        (*done.verdict.clusters, done.verdict.fleet),
        ("cluster", "left", lambda c: "fleet" if c.cluster < 0 else f"{c.cluster}"),
        ("devices", "right", lambda c: f"{c.devices}"),
        ("predicted", "right", lambda c: _cells(c.predicted)[0]),
        ("90 % interval", "right", lambda c: _cells(c.predicted)[1]),
        (word, "right", lambda c: _cells(c.measured)[0]),
        ("90 % interval", "right", lambda c: _cells(c.measured)[1]),
        (
            "holds",
            "left",
            lambda c: "not measured" if not c.devices else "yes" if c.holds else "no",
        ),
        title=f"{name}: predicted against {word} latency{how}",
    )


def _speed_ups(verdict: Verdict, word: str) -> None:
    show_rows(
        verdict.speed_ups,
        ("speed-up over", "left", lambda up: up.over),
        ("promised", "right", lambda up: f"{up.promised:.2f}x"),
        (word, "right", lambda up: _cells(up.measured, "x")[0]),
        ("90 % interval", "right", lambda up: _cells(up.measured, "x")[1]),
        ("", "left", lambda up: up.state),
        title=f"speed-ups, {word} within devices",
    )


def _cells(interval: Interval, unit: str = " ms") -> list[str]:
    if isnan(interval.value):
        return ["-", "-"]
    if isnan(interval.low):
        return [f"{interval.value:.2f}{unit}", "-"]
    return [f"{interval.value:.2f}{unit}", f"{interval.low:.2f}-{interval.high:.2f}"]
