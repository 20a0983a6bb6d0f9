"""How today's answer and that for the fleet as it will be are compared in print."""

from typing import Any

from hdap.cli.terminal.output import line, show_rows
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.wording import kept, latency, times
from hdap.workflows.compare_fleets import FleetsCompared


def show_fleets(found: FleetsCompared) -> None:
    """Both networks on both fleets, and the answer in a sentence."""
    rows = _rows(found)
    show_rows(
        rows,
        ("network", "left", lambda r: str(r["network"])),
        ("FLOPs", "right", lambda r: format_flops(r["flops"])),
        ("kept importance", "right", lambda r: kept(r["kept_importance"])),
        ("on the fleet today", "right", lambda r: latency(r["today_ms"])),
        ("then", "right", lambda r: latency(r["then_ms"])),
        ("over today's network, then", "right", lambda r: times(r["over_todays_then"])),
        title=f"{found.title}, predicted: today, and with {found.fleet_as}",
    )
    line(found.words)


def fleets_document(found: FleetsCompared) -> dict[str, Any]:
    """The same as `--json` prints it."""
    return {
        "fleet_as": found.fleet_as,
        "still_the_one_to_ship": found.stays,
        "line": found.words,
        "gain_then": {
            "predicted": found.gain.predicted,
            "promised": found.gain.promised,
            "doubt": found.gain.doubt,
        },
        "todays_study": found.today.name,
        "todays_trial": found.today.trial,
        "networks": _rows(found),
    }


def _rows(found: FleetsCompared) -> list[dict[str, Any]]:
    names = (f"today's (trial {found.today.trial} of {found.today.name})", "found for then")
    return [
        {
            "network": name,
            "flops": int(found.flops[i]),
            "kept_importance": float(found.kept[i]),
            "today_ms": float(found.today_ms[i]),
            "then_ms": float(found.then_ms[i]),
            "over_todays_then": float(found.then_ms[0] / found.then_ms[i]),
        }
        for i, name in enumerate(names)
    ]
