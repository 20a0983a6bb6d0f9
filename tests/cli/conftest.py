import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hdap.cli import app

Hdap = Callable[..., Result]


@pytest.fixture(scope="session")
def hdap() -> Hdap:
    """Run a command in this process: `hdap("search", "--flops", "1.0G", db=...)`."""
    runner = CliRunner(env={"COLUMNS": "160"})

    def run(*arguments: str, db: Path | str | None = None, stdin: bytes | None = None) -> Result:
        at = [] if db is None else ["--db", str(db)]
        return runner.invoke(app, [*arguments, *at], input=stdin)

    return run


@pytest.fixture(scope="session")
def searched(
    hdap: Hdap,
    fleet_file: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A database of the measured ResNet-50 fleet after the two commands that do the job."""
    path = tmp_path_factory.mktemp("searched") / "hdap.db"
    ingested = hdap("ingest", str(fleet_file("resnet50")), db=path)
    assert ingested.exit_code == 0, ingested.output
    found = hdap("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "400", db=path)
    assert found.exit_code == 0, found.output
    return path


@pytest.fixture
def database(searched: Path, tmp_path: Path) -> Path:
    """A private copy of the searched database."""
    return Path(shutil.copy(searched, tmp_path / "hdap.db"))
