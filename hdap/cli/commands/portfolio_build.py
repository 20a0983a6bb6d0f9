"""`hdap portfolio build`: variants of one model, compared, stored, in one bundle."""

from hdap.cli.commands.prune import tell_weights
from hdap.cli.settings.training_commands import PortfolioBuildCommand
from hdap.cli.tables import portfolio_table
from hdap.cli.tables.training_watch import read_data
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, progress_bar, say
from hdap.fleet_data.architecture import InputShapes
from hdap.networks.prune_plan import WeightsSource
from hdap.training.datasets import Data
from hdap.workflows.make_portfolio import make_portfolio


def run(asked: PortfolioBuildCommand) -> None:
    """Build, store and print the portfolio."""
    request = asked.request

    def read(model: str, shape: InputShapes) -> Data | None:
        return None if request.data is None else read_data(request, model, shape, request.seed)

    # only searches need a fleet; anything else is stored in a new database too
    with open_store(asked.db, create=request.source != "flops") as store:
        if request.source == "flops" and request.checkpoint is None:
            tell_weights(WeightsSource(request.weights, request.pretrained, request.seed))
        with progress_bar("building") as bar:
            built = make_portfolio(store, request, read, say, bar)
    emit_json(portfolio_table.document(built)) if asked.as_json else portfolio_table.show(built)
