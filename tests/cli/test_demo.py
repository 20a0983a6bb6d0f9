"""The demo of a bundled fleet, as a newcomer sees it: six software states, two of them in int8."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
from typer.testing import Result

from hdap.cli.settings.demo_command import FLEETS
from hdap.fleet_data.store import Store

Hdap = Callable[..., Result]


@pytest.fixture(scope="module")
def shown(
    hdap: Hdap, fresh: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The database of the int8 fleet's demo, and what it printed."""
    path = fresh(tmp_path_factory.mktemp("demo") / "int8.db")
    done = hdap("demo", "--fleet", "int8", "--trials", "60", "--keep", str(path))
    assert done.exit_code == 0, done.output
    return path, " ".join(done.output.split())


@pytest.mark.parametrize("name", FLEETS)
def test_every_fleet_is_bundled_and_of_its_network(name: str) -> None:
    fleet = FLEETS[name]
    rows = pl.read_csv(files("hdap").joinpath("data", fleet.file).read_bytes())
    assert rows["model"].unique().to_list() == [fleet.model]
    assert rows["device_id"].n_unique() == int(FLEETS[name].about.split()[0])


def test_an_unknown_fleet_is_refused_in_a_line(hdap: Hdap) -> None:
    done = hdap("demo", "--fleet", "magic")
    assert done.exit_code == 1
    assert "--fleet must be one of microfleet, rollout, int8" in " ".join(done.stderr.split())
    assert "Traceback" not in done.output


def test_each_state_is_a_surrogate_and_int8_stands_beside_float32(
    shown: tuple[Path, str], hdap: Hdap
) -> None:
    path, said = shown
    fitted = json.loads(hdap("fit", "--model", "resnet50", "--json", db=path).stdout)
    errors = {state["state"]: state["errors"][state["kind"]] for state in fitted["states"]}
    assert set(errors) == {
        "openvino int8",
        "litert int8",
        "onnxruntime float32",
        "ncnn float32",
        "openvino float32",
    }
    assert max(errors.values()) < 0.06
    assert "dense, int8 openvino" in said
    assert "pruned, int8 openvino" in said
    with Store.open(str(path), read_only=True) as store:
        studies = [study.name for study in store.studies()]
    assert len(studies) == 3


def test_the_demo_asks_what_the_roll_out_ends_in_and_what_sizes_bring(
    shown: tuple[Path, str],
) -> None:
    said = shown[1]
    assert "with firmware=2:100% today's network takes" in said
    assert "--networks 3" in said
