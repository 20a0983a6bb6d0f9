"""`hdap verify`: does the promised speed-up hold? The gate before anything ships."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from hdap.cli.settings.search_commands import VerifyCommand
from hdap.cli.tables import verdict_table as verdict
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, note, progress_bar, say, show_rows, table
from hdap.fleet_data.wording import UNKNOWN
from hdap.workflows.next_commands import command_line, measured_files
from hdap.workflows.plan_check import Check, plan_check, write_check
from hdap.workflows.verify_trial import TrialInQuestion, read_back, trial_in_question
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
        check = plan_check(trial, asked.sample, asked.seed, say)
        with progress_bar("exporting networks") as bar:
            write_check(trial, out, check, lambda at, total: bar(at, total, ""))
        _show_check(trial, out, check, asked.as_json)
    elif done is not None:
        emit_json(verdict.document(done)) if asked.as_json else verdict.show(done)
        if not done.verdict.holds:
            raise typer.Exit(1)


def _show_check(asked: TrialInQuestion, out: Path, check: Check, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {
            "out": str(out),
            "representatives": list(check.representatives),
            "sample": list(check.sample),
            "bundles": [
                {
                    "folder": str(out / bundle.name),
                    "devices": list(bundle.devices),
                    **asdict(bundle.run_by),
                }
                for bundle in check.bundles
            ],
        }
        emit_json(document | {"study": asked.study.name, "trial": asked.number})
        return
    table(
        [("", "left"), ("", "left")],
        [
            ["representatives", ", ".join(check.representatives)],
            ["sample of others", ", ".join(check.sample) or UNKNOWN],
        ],
        title=f"{out}: trial {asked.number} of {asked.study.name}, uniform and dense, to run on",
    )
    note(f"the list is in {out / 'devices.txt'}; two devices a cluster give an interval")
    first, *more = check.bundles
    if more:
        show_rows(
            check.bundles,
            ("folder", "left", lambda b: str(out / b.name)),
            ("runs in", "left", lambda b: b.run_by.words),
            ("goes to devices", "left", lambda b: ", ".join(b.devices)),
            title="a bundle for everything that these devices run",
        )
    next_steps(
        command_line("measure", out / first.name, "--device-id", first.devices[0]),
        then=[
            f"hdap ingest {measured_files(out, '*') if more else measured_files(out)}",
            command_line("verify", "--study", asked.study.name, "--trial", asked.number),
        ],
    )
