"""Devices that measure, all on one screen; in a log a line a step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from hdap.cli.terminal.output import err, quiet, say, show_rows
from hdap.remote.standing import Standing, Tell

_A_SECOND = 2
"""How often the screen is drawn."""
_LONGEST_NAME, _AMOUNT = 20, 7
"""Columns for a name and for `120/120`, so that eighty hold what a device says too."""
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
    shown = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, expand=True)
    shown.add_column("device", no_wrap=True, max_width=_LONGEST_NAME)
    shown.add_column("state", no_wrap=True, min_width=max(map(len, _STAGES.values())))
    shown.add_column("rows", no_wrap=True, min_width=_AMOUNT, justify="right")
    shown.add_column("says", no_wrap=True, ratio=1)
    for each in now.values():
        state = _STAGES[each.stage]
        shown.add_row(escape(each.device), state, _amount(each), escape(each.note))
    return shown


def _amount(standing: Standing) -> str:
    return f"{standing.rows}/{standing.expected}" if standing.expected else ""
