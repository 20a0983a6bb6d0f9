"""A portfolio from what a person asks: networks, data, fleet, build."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hdap.fleet_data.architecture import Architecture, InputShapes
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.fleet_data.store import Store
from hdap.networks.checkpoint import start_network
from hdap.networks.criteria import criterion
from hdap.networks.prune_plan import WeightsSource
from hdap.portfolio.build_variants import BuildOrder, Built, build, require_free_bundle
from hdap.portfolio.candidates import Candidates
from hdap.portfolio.elastic_levels import from_elastic
from hdap.portfolio.fleet_latency import FleetPredictor
from hdap.portfolio.sparse_checkpoint import read_sparse
from hdap.portfolio.sparse_levels import SlimOrder, architecture_of, from_sparse
from hdap.requests.portfolio_request import PortfolioRequest
from hdap.search.problem.budget import parse_ms
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.training.datasets import Data
from hdap.workflows.artifacts import ensure_architecture
from hdap.workflows.fleet_artifacts import ensure_clustering, ensure_surrogates
from hdap.workflows.search_budgets import BudgetSearches, SearchOrder, Start

Progress = Callable[[int, int | None, str], None]
ReadData = Callable[[str, InputShapes], Data | None]
"""What `--data` names as the network of that name and input shape takes it; None: nothing."""


def make_portfolio(
    store: Store, request: PortfolioRequest, read: ReadData, say: Say, progress: Progress
) -> Built:
    """Make the networks that are asked for, and of them a stored portfolio and its bundle.

    Raises:
        InputError: `out` is not free, a checkpoint or the data does not fit, a budget is none.
        NotEnoughDataError: budgets are to be searched, or a deadline kept, but too little was
            measured of the model.
        InfeasibleError: nothing meets a budget, or the deadline on enough devices.
        UnsupportedModelError: a network cannot be made dense or exported exactly.
    """
    require_free_bundle(request.out, request.force)
    found = _SOURCES[request.source](store, request, read, say, progress)
    if request.latency is not None and found.fleet is None:
        raise NotEnoughDataError(
            "`--latency` chooses variants for the devices of a fleet, but nothing predicts their "
            "latencies: load telemetry with hdap ingest, or leave it out"
        )
    order = BuildOrder(
        request.out,
        request.most,
        None if request.latency is None else parse_ms(request.latency, "a deadline", "20ms"),
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
    fleet: FleetPredictor | None


def _searched(
    store: Store, request: PortfolioRequest, read: ReadData, say: Say, progress: Progress
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
    store: Store, request: PortfolioRequest, read: ReadData, say: Say, progress: Progress
) -> _Found:
    assert request.elastic is not None
    candidates = from_elastic(request.elastic, request.model)
    architecture = candidates.architecture
    data = read(architecture.model, architecture.input_shape)
    return _Found(candidates, data, fleet_view(store, architecture, say))


def _sparse(
    store: Store, request: PortfolioRequest, read: ReadData, say: Say, progress: Progress
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


def fleet_view(store: Store, architecture: Architecture, say: Say) -> FleetPredictor | None:
    """Clusters and surrogates, made current; None, and one line why, where there can be none.

    Raises InputError where the store knows another architecture under the model's name.
    """
    model = architecture.model
    if model not in store.measured_models():
        say(
            f"nothing was measured of {model}, so no latency is predicted; load telemetry with "
            "hdap ingest and build again"
        )
        return None
    stored = ensure_architecture(store, model, say)
    if stored.digest != architecture.digest:
        raise InputError(
            f"the variants must be of the {model} that was measured, but the database knows "
            f"architecture {stored.digest[:12]} and they have {architecture.digest[:12]}; use "
            "another --db"
        )
    clustering = ensure_clustering(store, say)
    try:
        surrogate = ensure_surrogates(store, architecture, clustering, say)
    except NotEnoughDataError as error:
        say(f"no latency is predicted: {error}")
        return None
    devices = store.devices()
    return FleetPredictor(
        clustering,
        surrogate,
        FleetWeights.of(clustering, devices),
        DeviceSpeeds.of(clustering, devices),
    )
