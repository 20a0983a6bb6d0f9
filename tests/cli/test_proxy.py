from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from hdap.fleet_data.store import Store
from hdap.search.problem.defaults import DEFAULT_PROXY
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.proxies import PROXIES

Hdap = Callable[..., Result]
SEARCH = ("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "30")


def assert_kept_by(name: str, database: Path, trials: int) -> None:
    """Every trial of the newest study tells what that proxy makes of its shares."""
    with Store.open(f"sqlite:///{database}") as store:
        record = store.study(None)
        model, found = store.architecture(record.model), store.trials(record.id)
    assert len(found) == trials
    expected = Importance.by_channels(model).with_proxy(PROXIES[name], model)
    assert found.kept_importance == pytest.approx(expected.kept(found.counts))
    held = found.kept_importance >= record.kept_importance_floor * (1.0 - 1e-6)
    assert (held >= found.feasible).all()


@pytest.mark.parametrize("name", [None, "layers", "harmonic"])
def test_a_search_keeps_importance_by_the_proxy_that_it_was_told(
    hdap: Hdap, database: Path, name: str | None
) -> None:
    told = () if name is None else ("--proxy", name)
    assert hdap(*SEARCH, *told, db=database).exit_code == 0
    assert_kept_by(name or DEFAULT_PROXY, database, trials=30)


def test_a_resumed_search_keeps_its_proxy(hdap: Hdap, database: Path) -> None:
    assert hdap(*SEARCH, "--proxy", "layers", "--study", "by-layers", db=database).exit_code == 0
    done = hdap("search", "--resume", "by-layers", "--trials", "60", db=database)
    assert done.exit_code == 0, done.output
    assert_kept_by("layers", database, trials=60)


def test_an_unknown_proxy_is_one_line(hdap: Hdap, database: Path) -> None:
    done = hdap(*SEARCH, "--proxy", "best", db=database)
    assert done.exit_code == 1
    assert "a proxy is one of log-mean, layers, harmonic, mean, but got 'best'" in " ".join(
        done.output.split()
    )
