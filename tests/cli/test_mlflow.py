"""What MLflow is told, in a tracking database of its own; and that it is told nothing unasked."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from typer.testing import Result

from hdap.fleet_data.records import EpochRecord, VerificationRecord
from hdap.fleet_data.store import Store
from hdap.workflows.mlflow_runs import logged

Hdap = Callable[..., Result]
SEARCH = ("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "20", "--study", "told")
NOW = datetime(2026, 12, 1, tzinfo=UTC)
PRUNE = ("prune", "--model", "trainnets:small", "--channels", "0=12;3=8", "--out", "pruned")
TUNE = (
    *("finetune", "pruned", "--model", "trainnets:small", "--data", "trainnets:rows"),
    *("--epochs", "2", "--batch-size", "16", "--out", "tuned"),
)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of MLflow's, whose tables take seconds to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def runs(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[MlflowClient, list[Run]]]:
    """The runs of an experiment of the test's own, oldest first."""
    name = tmp_path.name
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    client = MlflowClient(tracking_uri=uri)
    artifacts = (tmp_path / "artifacts").as_uri()
    experiment = client.create_experiment(name, artifact_location=artifacts)
    return lambda: (client, client.search_runs([experiment], order_by=["start_time ASC"]))


def test_a_search_is_a_run_with_its_settings_and_its_best_trial(
    hdap: Hdap,
    database: Path,
    uri: str,
    runs: Callable[[], tuple[MlflowClient, list[Run]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert hdap(*SEARCH, db=database).exit_code == 0
    _, (run,) = runs()
    assert run.info.status == "FINISHED"
    assert run.data.params["flops"] == "1.0G"
    assert "db" not in run.data.params  # its URL may hold a password
    with Store.open(str(database)) as store:
        best = store.query("SELECT * FROM best_trials WHERE study = 'told'")
    stored = dict(zip(best.columns, best.rows[0], strict=True))
    assert run.data.metrics["fleet_mean_ms"] == pytest.approx(stored["fleet_mean_ms"])
    assert run.data.tags["best_trial"] == str(stored["number"])


def test_a_training_is_a_run_with_its_epochs_and_its_checkpoint(
    hdap: Hdap, here: Path, uri: str, runs: Callable[[], tuple[MlflowClient, list[Run]]]
) -> None:
    assert hdap(*PRUNE).exit_code == 0
    done = hdap(*TUNE, "--mlflow", uri, db=here / "t.db")
    assert done.exit_code == 0, done.output
    client, (run,) = runs()
    losses = client.get_metric_history(run.info.run_id, "train_loss")
    with Store.open(str(here / "t.db")) as store:
        stored = store.epochs("tuned")
    assert [(m.step, m.value) for m in losses] == [(e.epoch, e.train_loss) for e in stored]
    files = {f.path for f in client.list_artifacts(run.info.run_id, "checkpoint")}
    assert files == {"checkpoint/model.safetensors", "checkpoint/model.json"}


def epoch(run: str, number: int) -> EpochRecord:
    return EpochRecord(run, number, run, "m", 1.0 / number, 0.5, 0.9, 0.1, 10.0, 1.0, 0, NOW)


def test_several_trainings_are_runs_below_that_of_their_command(
    tmp_path: Path, uri: str, runs: Callable[[], tuple[MlflowClient, list[Run]]]
) -> None:
    db = str(tmp_path / "t.db")
    with Store.open(db) as store, logged(uri, "compress", {"steps": 2}, db):
        store.save_epochs([epoch("step-1", 1), epoch("step-1", 2), epoch("step-2", 1)])
    _, (command, *trainings) = runs()
    assert [t.info.run_name for t in trainings] == ["step-1", "step-2"]
    parents = {t.data.tags["mlflow.parentRunId"] for t in trainings}
    assert parents == {command.info.run_id}
    assert all(r.info.status == "FINISHED" for r in (command, *trainings))


def test_a_verdict_is_metrics_by_cluster_and_a_failure_is_told(
    database: Path, uri: str, runs: Callable[[], tuple[MlflowClient, list[Run]]]
) -> None:

    def fail() -> None:
        with Store.open(str(database)) as store, logged(uri, "verify", {}, str(database)):
            study = store.studies()[0].id
            ms = (10.0, 9.0, 11.0, 10.5, 10.0, 11.0)
            record = VerificationRecord(
                study, 1, 0, ms[0], ms[1], ms[2], ms[3], ms[4], ms[5], 3, True, True, False, NOW
            )
            store.save_verification([record])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    _, (run,) = runs()
    assert run.info.status == "FAILED"
    assert run.data.metrics["cluster_0.measured_ms"] == 10.5
    assert run.data.tags["trial_holds"] == "True"


def test_a_server_that_is_not_there_is_one_line_before_any_work(
    hdap: Hdap, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = hdap(*SEARCH, "--mlflow", "http://127.0.0.1:9", db=database)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: `--mlflow` must be a tracking server or database")
    with Store.open(str(database)) as store:
        assert "told" not in [study.name for study in store.studies()]
