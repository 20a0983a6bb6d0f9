"""A portfolio from what a person asks: networks, data, fleet, build."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdap.portfolio.build import BuildOrder, Built, build, require_free_bundle
from hdap.portfolio.candidates import Candidates
from hdap.portfolio.elastic_levels import from_elastic
from hdap.portfolio.fleet_view import FleetView, fleet_view
from hdap.portfolio.request import PortfolioRequest
from hdap.portfolio.searched import BudgetSearches, SearchOrder, Start
from hdap.portfolio.sparse_checkpoint import read_sparse
from hdap.portfolio.sparse_levels import SlimOrder, architecture_of, from_sparse
from hdap.pruning.criteria import criterion
from hdap.pruning.plan import WeightsSource
from hdap.pruning.start import start_network
from hdap.stages import Say
from hdap.training.data import Data

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store

Progress = Callable[[int, int | None, str], None]
ReadData = Callable[[str, tuple[int, int, int]], Data | None]
"""What `--data` names as the network of that name and input shape takes it; None: nothing."""


def make_portfolio(
    store: "Store", request: PortfolioRequest, read: ReadData, say: Say, progress: Progress
) -> Built:
    """Make the networks that are asked for, and of them a stored portfolio and its bundle.

    Raises:
        InputError: `out` is not free, a checkpoint or the data does not fit, a budget is none.
        NotEnoughDataError: budgets are to be searched, but too little was measured of the model.
        InfeasibleError: nothing meets a budget.
        UnsupportedModelError: a network cannot be made dense or exported exactly.
    """
    require_free_bundle(request.out, request.force)
    found = _SOURCES[request.source](store, request, read, say, progress)
    order = BuildOrder(
        request.out,
        request.most,
        found.data,
        request.measure_here,
        request.force,
        request.seed,
        request.to_plain(),
    )
    return build(store, found.candidates, found.fleet, order, progress)


@dataclass(frozen=True)
class _Found:
    candidates: Candidates
    data: Data | None
    fleet: FleetView | None


def _searched(
    store: "Store", request: PortfolioRequest, read: ReadData, say: Say, progress: Progress
) -> _Found:
    criterion(request.criterion)  # refused before anything is loaded
    source = WeightsSource(request.weights, request.pretrained, request.seed)
    network = start_network(request.checkpoint, request.model, source, request.seed)
    data = read(network.manifest.model, network.manifest.input_shape)
    searches = BudgetSearches(
        store,
        Start(network, source, request.checkpoint),
        SearchOrder(
            request.flops,
            request.criterion,
            request.trials,
            request.tolerance,
            request.step,
            request.seed,
        ),
        data,
        say,
        lambda budget, p: progress(p.done, p.trials, f"searching {budget}"),
    )
    candidates = searches.candidates()
    return _Found(candidates, data, fleet_view(store, candidates.architecture, say))


def _elastic(
    store: "Store", request: PortfolioRequest, read: ReadData, say: Say, progress: Progress
) -> _Found:
    assert request.elastic is not None
    candidates = from_elastic(request.elastic, request.model)
    architecture = candidates.architecture
    data = read(architecture.model, architecture.input_shape)
    return _Found(candidates, data, fleet_view(store, architecture, say))


def _sparse(
    store: "Store", request: PortfolioRequest, read: ReadData, say: Say, progress: Progress
) -> _Found:
    assert request.sparse is not None
    levels = read_sparse(request.sparse, request.model)
    manifest = levels[0].checkpoint.manifest
    model, shape = manifest.model, manifest.input_shape
    data, fleet = read(model, shape), fleet_view(store, architecture_of(levels), say)
    order = None
    if request.slim is not None:
        assert data is not None
        order = SlimOrder(request.slim, data, fleet, request.seed)
    return _Found(from_sparse(request.sparse, levels, order, say), data, fleet)


_SOURCES: Mapping[str, Callable[..., _Found]] = {
    "sparse": _sparse,
    "flops": _searched,
    "elastic": _elastic,
}
