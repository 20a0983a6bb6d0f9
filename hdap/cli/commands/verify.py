"""`hdap verify`: does the promised speed-up hold? The gate before anything ships."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug, Seed

if TYPE_CHECKING:
    from hdap.workflows.verify_trial import TrialInQuestion

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
    from hdap.cli.tables import verdict_table as verdict
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import emit_json, progress_bar
    from hdap.workflows.verify_trial import read_back, trial_in_question, write_verification
    from hdap.workflows.write_plan import require_free

    if out is not None:
        require_free(out)
    with open_store(db, create=False) as store:
        asked = trial_in_question(store, study, trial)
        done = None if out is not None else read_back(store, asked, seed)
    if out is not None:
        with progress_bar("exporting networks") as bar:
            devices = write_verification(
                asked, out, sample, seed, lambda at, total: bar(at, total, "")
            )
        _show_bundle(asked, out, devices, as_json)
    elif done is not None:
        emit_json(verdict.document(done)) if as_json else verdict.show(done)
        if not done.verdict.holds:
            raise typer.Exit(1)


def _show_bundle(
    asked: "TrialInQuestion", out: Path, devices: tuple[list[str], ...], as_json: bool
) -> None:
    from hdap.cli.terminal.output import emit_json, next_steps, table
    from hdap.cli.terminal.output import out as page

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
