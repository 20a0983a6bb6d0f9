"""`hdap portfolio serve`: the variants of a bundle behind HTTP, one at a time."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hdap.cli.options.shared_options import Debug

if TYPE_CHECKING:
    from socket import socket

    from hdap.device.switcher import Switcher

NAME = "serve"


def run(
    bundle: Annotated[
        Path, typer.Argument(help="Folder of `hdap portfolio build`.", file_okay=False)
    ],
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is every network.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes any that is free.")
    ] = 8000,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help="What chooses the variant: latency:30ms, load:0.7, memory:300MB, available:500MB, "
            "battery:20, temperature:80, schedule:8-20=v0,20-8=v2 or fixed:v1. Given several "
            "times, the most restrictive counts.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="First variant; default: the fastest with a policy."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Inferences at once; default: what cores allow."),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Threads of each inference.")
    ] = 1,
    dwell: Annotated[
        float,
        typer.Option("--dwell", min=0, help="Seconds of room before a more accurate variant."),
    ] = 5.0,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Where this machine's own files go; default: the bundle."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Answer images over HTTP with one variant of a portfolio, and swap it while it answers.

    POST /predict takes raw float32, .npy or JSON, GET /status and /variants tell, POST /switch asks
    for a variant. Every decision is told on standard error. Ctrl-C ends it once running requests
    have their answer.
    """
    from contextvars import copy_context

    from hdap.cli.terminal.output import mark_simulated, say
    from hdap.fleet_data.errors import InputError
    from hdap.fleet_data.extras import require

    require("serve")
    from hdap.device.switcher import DeviceError, Switcher, SwitchSettings, read_policy
    from hdap.serving.listening import listen

    # a thread starts without what -q and -v have set
    context = copy_context()
    try:
        with (
            listen(host, port) as at,
            Switcher(
                str(bundle),
                start=start,
                policy=read_policy(policy) if policy else None,
                threads=threads,
                workers=workers,
                cache=None if cache is None else str(cache),
                settings=SwitchSettings(dwell_s=dwell),
                log=lambda text: context.run(say, text),
            ) as switcher,
        ):
            mark_simulated(simulated=switcher.portfolio.simulated)
            _serve(switcher, at)
    except DeviceError as problem:
        raise InputError(str(problem)) from problem


def _serve(switcher: "Switcher", at: "socket") -> None:
    from hdap.cli.terminal.output import line, number, percent, table
    from hdap.cli.terminal.output import out as page
    from hdap.serving.http_server import serve

    def ready(address: str) -> None:
        line(f"{switcher.portfolio.model} on {address} (Ctrl-C ends it)")
        page().file.flush()

    table(
        [("variant", "left"), ("files, MB", "right"), ("FLOPs", "right"), ("accuracy", "right")],
        [
            [
                v.name,
                number(v.bytes / 1e6),
                f"{v.flops:,}",
                "-" if v.accuracy is None else percent(v.accuracy),
            ]
            for v in switcher.portfolio.variants
        ],
    )
    try:
        serve(switcher, at, ready)
    except KeyboardInterrupt:
        page().print("stopped")
