"""`hdap elastic ...`: one set of weights, many speeds."""

import typer

from hdap.cli.commands import elastic_deploy, elastic_plan, elastic_train
from hdap.cli.options.common_options import with_common_options

NAME = "elastic"

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="One set of weights that runs at several levels of cost: plan them, train them.",
)

for _module in (elastic_plan, elastic_train, elastic_deploy):
    app.command(_module.NAME)(with_common_options(_module.run))
