"""A search is made once: the same question on the same data has its answer already."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.store import Store
from hdap.networks.model_tracer import ModelTracer
from hdap.networks.prune_plan import PrunePlan, plan_from_trial
from hdap.requests.search_request import SearchRequest
from hdap.surrogate.models.hdap_gbrt import HdapGbrt
from hdap.workflows.search_fleet import find_or_run

REQUEST = SearchRequest("resnet50", "1.0G", trials=20, seed=3)


@pytest.fixture(scope="module")
def store(
    fleet_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("studies") / "hdap.db")) as opened:
        ingest(opened, fleet_file("resnet50"), trace=ModelTracer(lambda _: None))
        yield opened


def _plan(store: Store, request: SearchRequest) -> tuple[PrunePlan, bool]:
    """The plan, and whether it came from a study that was there."""
    said: list[str] = []
    search, _ = find_or_run(store, request, said.append, lambda _: None)
    plan = plan_from_trial(store, search.record.name, None)
    return plan, any(line.startswith("study ") and "is current" in line for line in said)


def test_only_a_question_that_differs_is_searched_anew(store: Store) -> None:
    first, known = _plan(store, REQUEST)
    again, known_then = _plan(store, REQUEST)
    assert (known, known_then) == (False, True)
    assert again.origin == first.origin
    assert (again.counts == first.counts).all()
    for other in (
        replace(REQUEST, seed=4),
        replace(REQUEST, flops="0.8G"),
        replace(REQUEST, trials=30),
        replace(REQUEST, limits={"conv1": [1, 32]}),
    ):
        plan, known = _plan(store, other)
        assert not known
        assert plan.origin != first.origin
    assert _plan(store, REQUEST)[0].origin == first.origin


def test_a_study_of_older_measurements_is_not_current(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = _plan(store, REQUEST)
    monkeypatch.setattr(HdapGbrt, "fit", None)  # a search shows no base lines and fits none
    (tmp_path / "more.csv").write_text("device_id,model,latency_ms\nnew,resnet50,71.5\n")
    ingest(store, tmp_path / "more.csv", trace=ModelTracer(lambda _: None))
    after, known = _plan(store, REQUEST)
    assert not known
    assert after.origin is not None
    assert before.origin is not None
    assert after.origin.study != before.origin.study


def test_a_study_of_other_weights_is_not_current(store: Store, tmp_path: Path) -> None:
    _plan(store, REQUEST)
    row = f"device_id,model,latency_ms,weight\n{store.devices().ids[0]},resnet50,71.5,50\n"
    (tmp_path / "weighed.csv").write_text(row)
    assert ingest(store, tmp_path / "weighed.csv").added == 1
    _plan(store, REQUEST)
    (tmp_path / "weighed.csv").write_text(row.replace(",50", ",1"))
    assert ingest(store, tmp_path / "weighed.csv").added == 0
    assert not _plan(store, REQUEST)[1]
    assert _plan(store, REQUEST)[1]


def test_a_study_that_was_stopped_is_not_current(store: Store) -> None:
    plan, _ = _plan(store, replace(REQUEST, seed=5))
    assert plan.origin is not None
    store.finish_study(store.study(plan.origin.study).id, "stopped")
    assert not _plan(store, replace(REQUEST, seed=5))[1]
