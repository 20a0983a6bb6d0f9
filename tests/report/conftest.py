import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, sync_playwright
from typer.testing import CliRunner, Result

from hdap.cli import app
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.records import (
    CompressionStepRecord,
    EpochRecord,
    PortfolioRecord,
    VariantRecord,
)
from hdap.fleet_data.store import Store
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.write_report import Report, report
from hdap.surrogate.validation import learning_curve as learning
from hdap.workflows.verify_trial import trial_in_question

Hdap = Callable[..., Result]
EVIL = "<img src=x onerror=document.title='run'>"
WORKLOAD = "resnet50,onnxruntime-cpu-1t"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session", autouse=True)
def short_learning_curves() -> Iterator[None]:
    """Two sizes and one split instead of seven and two: each is a fit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "SIZES", (10,))
        patch.setattr(learning, "SEEDS", 1)
        yield


@pytest.fixture(scope="session")
def made(full: Path) -> Report:
    with Store.open(str(full), read_only=True) as store:
        return report(PictureSource.of(store))


@pytest.fixture(scope="session")
def hdap() -> Hdap:
    runner = CliRunner(env={"COLUMNS": "160"})

    def run(*arguments: str, db: Path) -> Result:
        done = runner.invoke(app, [*arguments, "--db", str(db)])
        assert done.exit_code == 0, done.output
        return done

    return run


@pytest.fixture(scope="session")
def evil() -> str:
    return EVIL


@pytest.fixture(scope="session")
def full(
    hdap: Hdap,
    fresh: Callable[[Path], Path],
    fleet_file: Callable[[str], Path],
    once: Callable[..., Path],
) -> Path:
    """The measured fleet with a sick device whose name is HTML, searched, verified and drifted."""

    def fill(folder: Path) -> None:
        _fill(folder, hdap, fresh, fleet_file)

    return once("full", fill) / "hdap.db"


def _fill(
    folder: Path,
    hdap: Hdap,
    fresh: Callable[[Path], Path],
    fleet_file: Callable[[str], Path],
) -> None:
    db = fresh(folder / "hdap.db")
    head = "device_id,model,runtime,latency_ms,timestamp\n"
    sick = folder / f"{EVIL}.csv"
    rows = (f"{EVIL},{WORKLOAD},{500 + i},2026-11-20T0{i}:00:00Z\n" for i in range(8))
    sick.write_text(head + "".join(rows))
    hdap("ingest", str(fleet_file("resnet50")), str(sick), db=db)
    several = ("--latency", "40ms", "--networks", "2", "--trials", "60")
    hdap("search", "--model", "resnet50", *several, db=db)
    search = ("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "150")
    hdap(*search, "--study", "<i>first</i>", db=db)
    proof = folder / "proof.csv"
    with Store.open(str(db)) as store:
        number, measured = _measured(store)
        proof.write_text(measured)
    hdap("ingest", str(proof), db=db)
    hdap("verify", "--study", "<i>first</i>", "--trial", str(number), db=db)
    with Store.open(str(db)) as store:
        later = folder / "later.csv"
        ids = store.clustering().device_ids[store.clustering().cluster == 0]
        slower = (
            f"{d},{WORKLOAD},{60 + i},2026-11-22T0{i}:00:00Z\n" for d in ids for i in range(5)
        )
        later.write_text(head + "".join(slower))
    hdap("ingest", str(later), db=db)
    plan = ("elastic", "plan", "--model", "resnet50", "--target-latency", "40ms", "--clocks")
    hdap(*plan, "0.6,1.0", db=db)
    with Store.open(str(db)) as store:
        _train(store)
        _build(store)


def _train(store: Store) -> None:
    accuracies = {"digits": (0.7, 0.9), "digits-2": (0.8, float("nan"))}
    for run, found in accuracies.items():
        for epoch, accuracy in enumerate(found, start=1):
            at = datetime(2026, 11, 22, epoch, tzinfo=UTC)
            numbers = (1.0 / epoch, 1.1 / epoch, accuracy, 0.01, 500.0, 2.0)
            record = EpochRecord(run, epoch, f"out/{run}", "resnet50", *numbers, 0, at)
            store.save_epochs([record])
    at = datetime(2026, 11, 22, tzinfo=UTC)
    step = ("out", "resnet50", "<i>first</i>", 3, 10**9, 9.0, 8.5, 9.5, 0.8, 0.5, 0.79)
    store.save_compression_step(CompressionStepRecord("squeeze", 1, *step, False, at))


def _build(store: Store) -> None:
    unknown = float("nan")
    variants = tuple(
        VariantRecord(
            f"v{i}", "", 10**6 * i, 4 * 10**6 * i, 10**8 * i, 0.3 * i, 0.9 + 0.02 * i,
            5.0 * i, 4.5 * i, 5.5 * i, unknown, {"from": "flops"},
        )
        for i in (1, 2, 3)
    )  # fmt: skip
    plan = store.level_plan("resnet50")
    known = (plan.model, plan.architecture_digest, plan.clustering_id)
    at = datetime(2026, 11, 22, tzinfo=UTC)
    store.save_portfolio(PortfolioRecord(*known, "flops", "bundle", {}, False, at, variants))


def _measured(store: Store) -> tuple[int, str]:
    """The trial to ship, and what its representatives measure of it: exactly what was promised."""
    number = int(PictureSource.of(store).answer.numbers[0])
    trial = trial_in_question(store, None, number)
    fleet, channels = trial.clustering, format_channels(trial.problem.architecture, trial.counts)
    rows = [
        f"{fleet.device_ids[d]},{WORKLOAD},{ms * fleet.factor[d]:.4f},2026-11-21T0{i}:00:00Z,{text}"
        for d in np.flatnonzero(fleet.representative)
        for i, (ms, text) in enumerate(
            zip(trial.promise.ms[fleet.cluster[d]], channels, strict=True)
        )
    ]
    return number, "\n".join(["device_id,model,runtime,latency_ms,timestamp,channels", *rows, ""])


@pytest.fixture(scope="session")
def ingested(
    hdap: Hdap,
    fresh: Callable[[Path], Path],
    fleet_file: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A database that holds telemetry and nothing else."""
    db = fresh(tmp_path_factory.mktemp("ingested") / "hdap.db")
    hdap("ingest", str(fleet_file("resnet50")), db=db)
    return db


@pytest.fixture(scope="module")  # while it is open, this thread has an event loop that runs
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.fail("this test opens the report in Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()
