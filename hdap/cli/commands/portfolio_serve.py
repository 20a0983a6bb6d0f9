"""`hdap portfolio serve`: the variants of a bundle behind HTTP, one at a time."""

import os
from contextvars import copy_context
from socket import socket

from hdap.cli.settings.training_commands import PortfolioServeCommand
from hdap.cli.terminal.output import line, mark_simulated, say, show_rows
from hdap.cli.terminal.output import out as page
from hdap.device.switcher import DeviceError, Switcher, SwitchSettings, read_policy
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.wording import number, percent
from hdap.serving.access_token import read_token
from hdap.serving.http_server import Doors, doors_of, serve
from hdap.serving.listening import listen
from hdap.serving.registry import POLICIES


def run(asked: PortfolioServeCommand) -> None:
    """Serve until Ctrl-C."""
    # a thread starts without what -q and -v have set
    context = copy_context()
    doors = doors_of(asked.host, read_token(asked.token_file, os.environ), asked.patience)
    try:
        with (
            listen(asked.host, asked.port) as at,
            Switcher(
                str(asked.bundle),
                start=asked.start,
                policy=read_policy(asked.policy, POLICIES) if asked.policy else None,
                threads=asked.threads,
                workers=asked.workers,
                cache=None if asked.cache is None else str(asked.cache),
                settings=SwitchSettings(dwell_s=asked.dwell),
                log=lambda text: context.run(say, text),
            ) as switcher,
        ):
            mark_simulated(simulated=switcher.portfolio.simulated)
            _serve(switcher, at, doors)
    except DeviceError as problem:
        raise InputError(str(problem)) from problem


def _serve(switcher: Switcher, at: socket, doors: Doors) -> None:
    def ready(address: str) -> None:
        line(f"{switcher.portfolio.model} on {address} (Ctrl-C ends it)")
        page().file.flush()

    show_rows(
        switcher.portfolio.variants,
        ("variant", "left", lambda v: v.name),
        ("files, MB", "right", lambda v: number(v.bytes / 1e6)),
        ("FLOPs", "right", lambda v: f"{v.flops:,}"),
        ("accuracy", "right", lambda v: "-" if v.accuracy is None else percent(v.accuracy)),
    )
    try:
        serve(switcher, at, ready, doors)
    except KeyboardInterrupt:
        page().print("stopped")
