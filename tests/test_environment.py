"""The tests do not depend on the shell, the folder or the settings of whoever runs them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_settings_of_the_caller_do_not_reach_the_tests(tmp_path: Path) -> None:
    theirs = {
        "HDAP_DB": "sqlite:////nowhere/at/all.db",
        "HDAP_CONFIG": str(tmp_path / "missing.toml"),
        "COLUMNS": "40",
        "FORCE_COLOR": "1",
    }
    # it failed under such settings, and needs no search before it
    chosen = "below_a_group"
    (tmp_path / "hdap.toml").write_text('db = "theirs.db"\n')
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(ROOT),
    ]
    done = subprocess.run(
        [
            *pytest,
            "--rootdir",
            str(ROOT),
            "-k",
            chosen,
            str(ROOT / "tests/cli/test_habits.py"),
        ],
        cwd=tmp_path,
        env=os.environ | theirs | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "1 passed" in done.stdout
