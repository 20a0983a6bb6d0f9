"""`hdap verify`: does the promised speed-up hold? The gate before anything ships."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdap.cli.options import DEFAULT_DB, AsJson, Db, Debug, Seed

if TYPE_CHECKING:
    from hdap.search.verification import Interval
    from hdap.verifying import TrialInQuestion, Verified

NAME = "verify"


def run(
    trial: Annotated[int, typer.Option("--trial", min=0, help="The trial to verify.")],
    study: Annotated[
        str | None, typer.Option("--study", help="Which study; the latest if left out.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the bundle to measure here; must be new."),
    ] = None,
    sample: Annotated[
        int,
        typer.Option(
            "--sample", min=0, help="Other devices that measure too, to check the clustering."
        ),
    ] = 5,
    db: Db = DEFAULT_DB,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure what was promised: write a bundle with --out, read it back without.

    Exit 0: the promise holds. Exit 1: it does not, or that could not be shown. The promise holds
    where the fleet mean is not above its predicted 90 % interval, both speed-ups (over uniform on
    the same grid and over dense) reach 95 % of what was promised with their whole 90 % interval, no
    cluster is 5 % above its own interval, and other devices behave as their cluster.
    """
    from hdap.cli.output import emit_json, progress_bar
    from hdap.fleet_data.store import Store
    from hdap.planning import require_free
    from hdap.verifying import read_back, trial_in_question, write_verification

    if out is not None:
        require_free(out)
    with Store.open(db, create=False) as store:
        asked = trial_in_question(store, study, trial)
        done = None if out is not None else read_back(store, asked, seed)
    if out is not None:
        with progress_bar("exporting networks") as bar:
            devices = write_verification(
                asked, out, sample, seed, lambda at, total: bar(at, total, "")
            )
        _show_bundle(asked, out, devices, as_json)
    elif done is not None:
        emit_json(document(done)) if as_json else show(done)
        if not done.verdict.holds:
            raise typer.Exit(1)


def _show_bundle(
    asked: "TrialInQuestion", out: Path, devices: tuple[list[str], ...], as_json: bool
) -> None:
    from hdap.cli.output import emit_json, next_steps, table
    from hdap.cli.output import out as page

    again = f"hdap verify --study {asked.study.name} --trial {asked.number}"
    if as_json:
        document = {"out": str(out), "representatives": devices[0], "sample": devices[1]}
        emit_json(document | {"study": asked.study.name, "trial": asked.number})
        return
    table(
        [("", "left"), ("", "left")],
        [["representatives", ", ".join(devices[0])], ["sample of others", ", ".join(devices[1])]],
        title=f"{out}: trial {asked.number} of {asked.study.name}, uniform and dense, to run on",
    )
    page().print(f"the list is in {out / 'devices.txt'}", markup=False, soft_wrap=True)
    next_steps(
        f"hdap measure {out} --device-id {devices[0][0]}",
        f"hdap ingest {out}/measured-*.csv",
        again,
    )


def document(done: "Verified") -> dict[str, Any]:
    """The verdict as `--json` prints it."""
    verdict = done.verdict
    return {
        "study": done.trial.study.name,
        "trial": done.trial.number,
        "model": done.trial.study.model,
        "measured": "simulated" if done.simulated else "measured",
        "simulated": done.simulated,
        "runtime": done.runtime,
        "holds": verdict.holds,
        "reasons": verdict.reasons,
        "covered_weight": verdict.covered,
        "fleet": {
            "predicted_ms": _list(verdict.fleet.predicted),
            "measured_ms": _list(verdict.fleet.measured),
            "holds": verdict.fleet.holds,
        },
        "clusters": [
            {
                "cluster": c.cluster,
                "devices": c.devices,
                "predicted_ms": _list(c.predicted),
                "measured_ms": _list(c.measured),
                "holds": c.holds,
            }
            for c in verdict.clusters
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


def _list(interval: "Interval") -> list[float]:
    return [interval.value, interval.low, interval.high]


def show(done: "Verified") -> None:
    """The verdict as a person reads it."""
    from hdap.cli.output import next_steps, out, table

    verdict, trial = done.verdict, done.trial
    word = "simulated" if done.simulated else "measured"
    name = f"trial {trial.number} of {trial.study.name}"
    table(
        [
            ("cluster", "left"),
            ("devices", "right"),
            ("predicted", "right"),
            ("90 % interval", "right"),
            (word, "right"),
            ("90 % interval", "right"),
            ("holds", "left"),
        ],
        [
            [
                "fleet" if c.cluster < 0 else f"{c.cluster}",
                f"{c.devices}",
                *_cells(c.predicted),
                *_cells(c.measured),
                "not measured" if not c.devices else "yes" if c.holds else "no",
            ]
            for c in (*verdict.clusters, verdict.fleet)
        ],
        title=f"{name}: predicted against {word} latency"
        + (" (simulated, not measured)" if done.simulated else f", {done.runtime}"),
    )
    table(
        [
            ("speed-up over", "left"),
            ("promised", "right"),
            (word, "right"),
            ("90 % interval", "right"),
            ("", "left"),
        ],
        [
            [up.over, f"{up.promised:.2f}x", *_cells(up.measured, "x"), up.state]
            for up in verdict.speed_ups
        ],
        title=f"speed-ups, {word} within devices",
    )
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
    next_steps(
        f"hdap plan --model {trial.study.model} --from-study {trial.study.name} --out more",
    )


def _cells(interval: "Interval", unit: str = " ms") -> list[str]:
    if interval.value != interval.value:
        return ["-", "-"]
    if interval.low != interval.low:
        return [f"{interval.value:.2f}{unit}", "-"]
    return [f"{interval.value:.2f}{unit}", f"{interval.low:.2f}-{interval.high:.2f}"]
