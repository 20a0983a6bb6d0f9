import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hdap.fleet_data.store import Store
from hdap.search.samplers.base import counts_of
from hdap.workflows.build_problem import stored_problem

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "own_study.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_study", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documented_study_stays_in_the_band_and_beats_uniform_pruning(
    example: ModuleType, searched: Path
) -> None:
    with Store.open(f"sqlite:///{searched}", create=False) as store:
        problem, _ = stored_problem(store, store.study())
    study = example.search(problem, trials=60)
    rows = np.stack([counts_of(problem.space, trial.params) for trial in study.trials])
    assert len(rows) == 60
    assert problem.band.contains(problem.repair.flops(rows)).all()
    assert {trial.params["stored_as"] for trial in study.trials} == set(example.BYTES)
    uniform = problem.evaluate(problem.uniform[None])
    megabytes = 2 * float(uniform.parameters[0]) / 1e6
    at_uniform = float(uniform.ucb_ms[0]) + example.MS_PER_MEGABYTE * megabytes
    assert study.best_trial.value is not None
    assert study.best_trial.value < at_uniform


def test_the_documented_command_prints_widths_that_parse(
    example: ModuleType, searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example.main(str(searched))
    printed = capsys.readouterr().out
    assert "conv1=" in printed
