"""`hdap verify`: does the promised speed-up hold? The gate before anything ships."""

from pathlib import Path

import typer

from hdap.cli.settings.search_commands import VerifyCommand
from hdap.cli.tables import verdict_table as verdict
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, note, progress_bar, table
from hdap.fleet_data.wording import UNKNOWN
from hdap.workflows.next_commands import command_line, measured_files
from hdap.workflows.verify_trial import (
    TrialInQuestion,
    read_back,
    trial_in_question,
    write_verification,
)
from hdap.workflows.write_plan import require_free


def run(asked: VerifyCommand) -> None:
    """Write the bundle, or read it back and exit by the verdict."""
    out = asked.out
    if out is not None:
        require_free(out)
    with open_store(asked.db, create=False, read_only=out is not None) as store:
        trial = trial_in_question(store, asked.study, asked.trial)
        done = None if out is not None else read_back(store, trial, asked.seed)
    if out is not None:
        with progress_bar("exporting networks") as bar:
            devices = write_verification(
                trial, out, asked.sample, asked.seed, lambda at, total: bar(at, total, "")
            )
        _show_bundle(trial, out, devices, asked.as_json)
    elif done is not None:
        emit_json(verdict.document(done)) if asked.as_json else verdict.show(done)
        if not done.verdict.holds:
            raise typer.Exit(1)


def _show_bundle(
    asked: TrialInQuestion, out: Path, devices: tuple[list[str], ...], as_json: bool
) -> None:
    if as_json:
        document = {"out": str(out), "representatives": devices[0], "sample": devices[1]}
        emit_json(document | {"study": asked.study.name, "trial": asked.number})
        return
    table(
        [("", "left"), ("", "left")],
        [
            ["representatives", ", ".join(devices[0])],
            ["sample of others", ", ".join(devices[1]) or UNKNOWN],
        ],
        title=f"{out}: trial {asked.number} of {asked.study.name}, uniform and dense, to run on",
    )
    note(f"the list is in {out / 'devices.txt'}; two devices a cluster give an interval")
    next_steps(
        command_line("measure", out, "--device-id", devices[0][0]),
        then=[
            f"hdap ingest {measured_files(out)}",
            command_line("verify", "--study", asked.study.name, "--trial", asked.number),
        ],
    )
