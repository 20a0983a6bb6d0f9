"""What every test runs in, and the fixtures that more than one folder needs (`tests/fixtures`)."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings
from threadpoolctl import threadpool_limits

# Machines differ in speed: time is no property. On CI the same examples every time.
settings.register_profile("hdap", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("hdap")

# What the caller's shell says to hdap, or to the terminal, is no part of a test.
_OTHERS = ("HDAP_", "MLFLOW_", "AWS_", "GOOGLE_", "AZURE_")
KEPT = ("HDAP_JSON_LOG", "HDAP_LITERT_PYTHON")
for _name in [n for n in os.environ if n.startswith(_OTHERS) and n not in KEPT]:
    del os.environ[_name]
# What tests agree to, as a person would, is no agreement of that person's.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="hdap-config-")
atexit.register(shutil.rmtree, os.environ["XDG_CONFIG_HOME"], ignore_errors=True)
# A shell that starts tests in its background has Ctrl-C ignored, also in what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PYTHONWARNINGS"):
    os.environ.pop(_name, None)
# Workers of pytest-xdist have a core each: two threads in both of them wait for one another, and
# a third of the processor's time is left for the work. What is loaded later reads the variable.
os.environ["OMP_NUM_THREADS"] = "1"
threadpool_limits(1)
# Whoever wants no byte code does not want hdap compiled anew by each of a hundred processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins = [
    "tests.fixtures.measured_fleets",
    "tests.fixtures.object_server",
    "tests.fixtures.portfolios",
    "tests.fixtures.postgres_server",
    "tests.fixtures.search_problems",
]

LONG = (
    "test_docs.py",
    "test_search_accuracy.py",
    "test_main_job.py",
    "test_worker_pool.py",
    "test_objectives.py",
    "test_decision.py",
    "test_simulated.py",
    "test_real_parts.py",
    "test_program.py",
    "test_json.py",
    "test_pruned_network.py",
    "test_networks.py",
    "test_notebook.py",
    "test_elastic_plan.py",
    "test_pictures.py",
    "test_browser.py",
    "test_throttled.py",
    "test_fleet.py",
    "test_report.py",
    "test_search_workers.py",
    "test_measure_on.py",
    "test_verify.py",
    "test_distributed.py",
)
"""Files that take longest, by measurement: they start first, so that no core waits at the end, and
files that read what one of them makes (`once`) apart from it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """`once(name, fill)` is a folder that one worker fills and all of them read."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def made(name: str, fill: Callable[[Path], None]) -> Path:
        folder, filled = shared / name, shared / f"{name}.filled"
        with FileLock(shared / f"{name}.lock"):
            if not filled.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder

    return made


@pytest.fixture
def processes(tmp_path: Path) -> Callable[[str, int], list[Any]]:
    """Run a script in so many processes that talk by Gloo; what each left in `{rank()}.json`."""

    def run(script: str, count: int) -> list[Any]:
        folder = tmp_path / str(count)
        folder.mkdir()
        (folder / "script.py").write_text(script)
        start = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}")
        command = [sys.executable, *(start if count > 1 else ()), "script.py", str(folder)]
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            command, cwd=folder, env=quiet, capture_output=True, text=True, timeout=250, check=False
        )
        assert done.returncode == 0, done.stderr
        return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]

    return run


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """A block in which no file may grow beyond some kilobytes, pytest's own output neither."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def full() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full
