"""`hdap portfolio ...`: several networks of one model, made together, swapped while they serve."""

import typer

from hdap.cli.commands import portfolio_build, portfolio_serve, portfolio_train
from hdap.cli.options.common_options import with_common_options

NAME = "portfolio"

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Several networks of one model: train, build and swap them while they serve.",
)

for _module in (portfolio_train, portfolio_build, portfolio_serve):
    app.command(_module.NAME)(with_common_options(_module.run))
