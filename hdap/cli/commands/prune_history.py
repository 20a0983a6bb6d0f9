"""`hdap prune-history`: old dense telemetry made fewer rows."""

from dataclasses import asdict
from datetime import UTC, datetime

from hdap.cli.settings.fleet_commands import PruneHistoryCommand
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, note, progress_bar, say, table
from hdap.fleet_data.store import Store
from hdap.fleet_data.store.history_store import PrunedHistory
from hdap.workflows.next_commands import command_line


def run(asked: PruneHistoryCommand) -> None:
    """Say what would go, or do it."""
    before = datetime.now(UTC) - asked.keep
    with open_store(asked.db, create=False, read_only=not asked.agreed) as store:
        found = _pruned(store, before) if asked.agreed else store.history_before(before)
        if asked.as_json:
            emit_json(asdict(found) | {"done": asked.agreed})
            return
        _show(found, done=asked.agreed)
        if asked.agreed:
            _tell_space(store)
        elif found.removed:
            days = f"{round(asked.keep.total_seconds() / 3600)}h"
            next_steps(command_line("prune-history", "--keep", days, "--yes"))


def _pruned(store: Store, before: datetime) -> PrunedHistory:
    with progress_bar("making old rows fewer"):
        done = store.prune_history(before)
    if done.removed:
        with progress_bar("giving space back"):
            store.give_back_space()
    return done


def _tell_space(store: Store) -> None:
    if store.name.startswith("postgresql"):
        say("the space is free for rows to come; VACUUM FULL all_measurements gives it to the disk")


def _show(found: PrunedHistory, *, done: bool) -> None:
    go, stay = ("went", "stand for them") if done else ("would go", "would stand for them")
    table(
        [("", "left"), ("", "right")],
        [
            ["rows", f"{found.rows:,}"],
            [f"old dense rows, from before {found.before:%Y-%m-%d %H:%M} UTC", f"{found.old:,}"],
            [f"  {go}", f"{found.removed:,}"],
            [f"  {stay}", f"{found.kept:,}"],
            ["of devices", f"{found.devices:,}"],
        ],
        title="History",
    )
    if not found.removed:
        note("nothing to remove: groups of nine rows and fewer stay as they are")
