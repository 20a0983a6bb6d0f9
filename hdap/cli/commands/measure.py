"""`hdap measure`: run a bundle on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from hdap.cli.options.shared_options import Debug

NAME = "measure"
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def run(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="A bundle of `hdap plan` or `hdap verify`.")],
    debug: Debug = False,
) -> None:
    """Measure the networks of a bundle on this machine, as `python3 measuring.py` in it does.

    Options of measuring.py follow the bundle: --device-id, --threads, --runs, --rounds, --provider,
    --max-seconds, --out, --list, --dry-run. Stopped, it goes on where it was when started again.
    """
    from hdap.cli.terminal.output import next_steps
    from hdap.fleet_data.errors import InputError

    if not (bundle / "manifest.json").is_file():
        nested = sorted(str(p.parent) for p in bundle.glob("*/manifest.json"))
        hint = f"name one of {', '.join(nested)}" if nested else "make one: hdap plan"
        raise InputError(f"a bundle must hold a manifest.json, but {bundle} does not; {hint}")
    status = _measured(bundle, context.args)
    if status:
        raise typer.Exit(status)
    next_steps(f"hdap ingest {bundle}/measured-*.csv")


def _measured(bundle: Path, options: list[str]) -> int:
    # The program itself, not `hdap.workflows.write_bundle.run_measure`: that brings torch with it.
    from hdap.device import measuring

    try:
        return measuring.main(["--bundle", str(bundle), *options])
    except SystemExit as end:  # argparse, on wrong usage
        return end.code if isinstance(end.code, int) else 1
