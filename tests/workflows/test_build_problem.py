"""From what is asked to a problem: where what the measurements suggest and the budget collide."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.store import Store
from hdap.networks.model_tracer import ModelTracer
from hdap.requests.search_request import SearchRequest
from hdap.workflows.build_problem import MOST_AT_NARROWEST, prepare_search

TINY = "12M"
"""Below the narrowest ResNet-50 on the grid of 16 that its measurements show to pay."""


@pytest.fixture(scope="module")
def store(
    fleet_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("problems") / "hdap.db")) as opened:
        ingest(opened, fleet_file("resnet50"), trace=ModelTracer(lambda _: None))
        yield opened


def _silent(_: str) -> None:
    pass


def test_a_grid_that_was_not_asked_for_gives_way_to_the_budget(store: Store) -> None:
    usual = prepare_search(store, SearchRequest("resnet50", "1.0G"), _silent).problem
    small = prepare_search(store, SearchRequest("resnet50", TINY), _silent).problem
    assert small.space.step < usual.space.step
    assert small.repair.flops(small.space.smallest[None])[0] <= small.band.high


def test_a_grid_that_was_asked_for_does_not(store: Store) -> None:
    with pytest.raises(InfeasibleError, match="narrowest"):
        prepare_search(store, SearchRequest("resnet50", TINY, step=16), _silent)


def test_a_latency_that_only_narrower_networks_meet_has_a_finer_grid_too(store: Store) -> None:
    usual = prepare_search(store, SearchRequest("resnet50", "1.0G"), _silent).problem
    narrowest = usual.space.on_grid(usual.space.step).smallest
    limit = f"{0.9 * usual.ucb_ms(narrowest[None])[0]:.6f}ms"
    asked = SearchRequest("resnet50", latency=limit, objective="mean")
    small = prepare_search(store, asked, _silent).problem
    assert small.space.step < usual.space.step
    assert small.ucb_ms(small.uniform[None])[0] <= small.limit_ms
    with pytest.raises(InfeasibleError, match="latency budget"):
        prepare_search(store, replace(asked, step=usual.space.step), _silent)


def test_where_a_budget_uses_a_grid_up_the_base_line_is_on_a_finer_one(store: Store) -> None:
    asked = SearchRequest("resnet50", "105M")
    coarse = prepare_search(store, replace(asked, step=16), _silent).problem
    found = prepare_search(store, asked, _silent).problem
    assert coarse.narrowest_share > MOST_AT_NARROWEST >= found.narrowest_share
    assert found.space.step < 16
    best = found.best_uniform.counts[None].astype(float)
    assert (found.space.snap(best) == best).all()
