"""`hdap assign`: which device runs which network."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hdap.cli.settings.search_commands import AssignCommand
from hdap.cli.terminal.layout import Justify
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, note, show_rows
from hdap.fleet_data.wording import counted, kept, latency, percent
from hdap.workflows.assign_devices import (
    Assigned,
    assign_devices,
    reason,
    sized_study,
    write_assignments,
)
from hdap.workflows.next_commands import command_line, free_name


def run(asked: AssignCommand) -> None:
    """Print who would move, or why one device runs what it runs; store and write what is asked."""
    with open_store(asked.db, create=False) as store:
        record = sized_study(store, asked.study)
        found = assign_devices(store, record)
        told = [] if asked.device is None else reason(found, asked.device)
        if asked.apply:
            store.save_assignments(record.id, found.now)
        if asked.out is not None:
            stored = found.now if asked.apply else store.assignments(record.id)
            write_assignments(stored, found.kernels, asked.out)
    if asked.as_json:
        emit_json(_document(found, asked, told))
    elif asked.device is not None:
        for text in told:
            line(text)
    else:
        _show(found, asked)


def _show(found: Assigned, asked: AssignCommand) -> None:
    name = found.record.name
    made_for: list[tuple[str, Justify, Callable[[dict[str, Any]], str]]] = []
    if len(set(found.kernels.values())) > 1:
        made_for = [("export for (devices)", "left", _exports)]
    show_rows(
        _networks(found),
        ("trial", "right", lambda n: str(n["trial"])),
        ("kept importance", "right", lambda n: kept(n["kept_importance"])),
        ("devices", "right", lambda n: f"{n['devices']:,}"),
        ("in time", "right", lambda n: f"{n['in_time']:,}"),
        ("slowest of them", "right", lambda n: latency(n["slowest_ms"])),
        *made_for,
        title=f"study {name}: within {found.asked.deadline_ms:g} ms, predicted",
    )
    changed = np.flatnonzero(found.moved | found.new)
    if len(changed):
        show_rows(
            _moves(found, changed[: asked.limit].tolist()),
            ("device", "left", lambda m: str(m["device_id"])),
            ("from trial", "right", lambda m: "-" if m["from"] is None else str(m["from"])),
            ("to trial", "right", lambda m: str(m["to"])),
            ("predicted", "right", lambda m: latency(m["predicted_ms"])),
            ("sure in time", "right", lambda m: percent(m["probability_in_time"], 0)),
            title=f"{counted(len(changed), 'device')} that "
            f"{'moved' if asked.apply else 'would move'}",
        )
    line(_summary(found, applied=asked.apply))
    if found.silent:
        few = ", ".join(found.silent[:5]) + (", ..." if len(found.silent) > 5 else "")
        line(f"{counted(len(found.silent), 'device')} sent no latency to be placed by: {few}")
    if asked.out is not None:
        note(f"written: {asked.out}")
        return
    if len(changed) and not asked.apply:
        next_steps(command_line("assign", "--study", name, "--apply"))
        return
    next_steps(command_line("assign", "--study", name, "--out", free_name("assignments.csv")))


def _summary(found: Assigned, *, applied: bool) -> str:
    moved, new = int(found.moved.sum()), int(found.new.sum())
    told = (
        f"{counted(moved, 'device')} {'moved' if applied else 'would move'}, {found.smaller} to a "
        f"smaller network and {moved - found.smaller} to a larger"
    )
    if not moved:
        told = "no device moves" if not applied else "no device moved"
    return f"{told}; {counted(new, 'new device')} {'assigned' if applied else 'to assign'}"


def _networks(found: Assigned) -> list[dict[str, Any]]:
    now = found.now
    return [
        {
            "trial": int(number),
            "kept_importance": float(found.kept[place]),
            "devices": int((now.number == number).sum()),
            "in_time": int((now.in_time & (now.number == number)).sum()),
            "slowest_ms": float(now.latency_ms[now.number == number].max(initial=-np.inf)),
            "made_for": [
                {"runtime": runtime, "precision": precision, "devices": devices}
                for (runtime, precision), devices in found.made_for(int(number)).items()
            ],
        }
        for place, number in enumerate(found.numbers)
    ]


def _exports(network: dict[str, Any]) -> str:
    return ", ".join(
        f"{made['runtime'] or 'unknown'} {made['precision']}".rstrip() + f" ({made['devices']:,})"
        for made in network["made_for"]
    )


def _moves(found: Assigned, rows: list[int]) -> list[dict[str, Any]]:
    now = found.now
    return [
        {
            "device_id": str(now.device_ids[row]),
            "from": None if found.new[row] else int(now.number_before[row]),
            "to": int(now.number[row]),
            "predicted_ms": float(now.latency_ms[row]),
            "probability_in_time": float(now.probability_in_time[row]),
        }
        for row in rows
    ]


def _document(found: Assigned, asked: AssignCommand, told: list[str]) -> dict[str, Any]:
    changed = np.flatnonzero(found.moved | found.new).tolist()
    return {
        "study": found.record.name,
        "deadline_ms": found.asked.deadline_ms,
        "applied": asked.apply,
        "networks": _networks(found),
        "moved": int(found.moved.sum()),
        "to_smaller": found.smaller,
        "new": int(found.new.sum()),
        "silent": list(found.silent),
        "moves": _moves(found, changed[: asked.limit]),
        "device": asked.device,
        "reason": told,
    }
