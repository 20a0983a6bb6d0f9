"""Devices that measure, all on one screen; in a log a line a step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.live import Live
from rich.markup import escape
from rich.table import Table

from hdap.cli.terminal.output import err, quiet, say, show_rows
from hdap.remote.standing import Standing, Tell

_A_SECOND = 2
"""How often the screen is drawn."""
_STAGES = {
    "connecting": "connecting",
    "copying": "copying the bundle",
    "measuring": "measuring",
    "lost": "measuring, not heard now",
    "done": "done",
    "failed": "failed",
    "silent": "did not answer",
}


@contextmanager
def devices_watch(devices: Sequence[str]) -> Iterator[Tell]:
    """Inside, what is told of a device is shown: on a terminal in its row, else as a line."""
    now = {device: Standing(device, "connecting") for device in devices}
    if not err().is_terminal or quiet():
        yield _by_lines(now)
        return
    with Live(_screen(now), console=err(), refresh_per_second=_A_SECOND, transient=True) as live:

        def tell(standing: Standing) -> None:
            now[standing.device] = standing
            live.update(_screen(now))

        yield tell


def show_devices(ends: Sequence[Standing], homeless: Sequence[str]) -> None:
    """What came of each device."""
    rows = [*ends, *(Standing(d, "silent", note="it has no host in the file") for d in homeless)]
    show_rows(
        rows,
        ("device", "left", lambda end: end.device),
        ("came of it", "left", lambda end: _STAGES[end.stage]),
        ("rows", "right", _amount),
        ("note", "left", lambda end: end.note),
        title="Measured on devices",
    )


def _by_lines(now: dict[str, Standing]) -> Tell:
    def tell(standing: Standing) -> None:
        before, now[standing.device] = now[standing.device], standing
        if (before.stage, before.rows) != (standing.stage, standing.rows):
            note = f": {standing.note}" if standing.note else ""
            amount = f" {_amount(standing)}" if standing.expected else ""
            say(f"{standing.device}: {_STAGES[standing.stage]}{amount}{note}")

    return tell


def _screen(now: dict[str, Standing]) -> Table:
    shown = Table(title="Measuring on devices", expand=True)
    for name in ("device", "state", "rows", "says"):
        shown.add_column(
            name, justify="right" if name == "rows" else "left", no_wrap=True, overflow="ellipsis"
        )
    for each in now.values():
        shown.add_row(escape(each.device), _STAGES[each.stage], _amount(each), escape(each.note))
    return shown


def _amount(standing: Standing) -> str:
    return f"{standing.rows}/{standing.expected}" if standing.expected else ""
