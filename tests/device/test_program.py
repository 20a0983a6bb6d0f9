import csv
import hashlib
import importlib.util
import io
import json
import math
import os
import re
import resource
import signal
import subprocess
import time
import venv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hdap.device.archive import program
from hdap.device.measure.results_file import COLUMNS, SCALED, ResultsFile
from hdap.device.messages import DeviceError
from hdap.fleet_data.telemetry import BY_NAME, REQUIRED
from hdap.workflows.write_bundle import run_measure

QUICK = ("--runs", "10", "--min-seconds", "0.1", "--threshold", "1000", "--device-id", "unit-1")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def device_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in ("numpy", "onnxruntime"):
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        source = Path(found.origin).parent
        for part in (source, source.with_name(f"{name}.libs")):
            if part.is_dir():
                (packages / part.name).symlink_to(part)
    return folder / "bin" / "python"


@pytest.fixture
def device(device_python: Path, bundle: Path) -> Run:
    def run(*options: str, **more: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(device_python), "-I", "measure.pyz", *options],
            cwd=bundle,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **more,
        )

    return run


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_device_has_onnxruntime_and_numpy_and_nothing_else(device_python: Path) -> None:
    code = (
        "import importlib.util as u, json;"
        "names = ('torch','timm','onnx','hdap','polars','pip','numpy','onnxruntime');"
        "print(json.dumps([n for n in names if u.find_spec(n)]))"
    )
    done = subprocess.run(
        [device_python, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["numpy", "onnxruntime"]


def test_a_device_measures_everything_and_writes_the_telemetry_contract(
    device: Run, bundle: Path
) -> None:
    done = device(*QUICK, "--rounds", "2", "--threads", "1")
    assert done.returncode == 0, done.stderr
    rows = _rows(bundle / "measured-unit-1.csv")
    manifest = json.loads((bundle / "manifest.json").read_text())
    planned = [entry["channels"] for entry in manifest["configurations"]]
    assert sorted((r["channels"], r["round"]) for r in rows) == sorted(
        (channels, number) for channels in planned for number in "12"
    )
    assert {name for name in REQUIRED if name not in rows[0]} == set()
    for row in rows:
        _check_contract(row)
        assert row["device_id"] == "unit-1"
        assert row["model"] == "small"
        assert row["runtime"].startswith("onnxruntime-1.")
        assert row["runtime"].endswith("-cpu-1t")
        assert int(row["runs"]) >= 10
        low, high = float(row["latency_ci_low_ms"]), float(row["latency_ci_high_ms"])
        assert low <= float(row["latency_ms"]) <= high
    assert len({row["baseline_ms"] for row in rows}) == 1


def _check_contract(row: dict[str, str]) -> None:
    for name, text in row.items():
        column = BY_NAME.get(name)
        if column is None or not text:
            assert column is None or not column.required
        elif column.kind in ("number", "integer"):
            value = float(text)
            assert math.isfinite(value)
            assert column.low <= value <= column.high
        elif column.kind == "time":
            assert abs((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()) < 600
        else:
            assert len(text) <= column.longest


def test_an_installation_measures_with_the_same_program(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "here.csv"
    assert run_measure(bundle, [*QUICK, "--out", str(out)]) == 0
    assert len(_rows(out)) == 3
    assert (bundle / "measure.pyz").read_bytes() == program("measure")
    assert "3 rows" in capsys.readouterr().err


def test_wrong_usage_ends_with_2(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_measure(bundle, ["--runs", "0"]) == 2
    assert run_measure(bundle, ["--min-seconds", "nan"]) == 2
    assert "must be" in capsys.readouterr().err


def _start(python: Path, bundle: Path, options: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [python, "-I", "measure.pyz", *options],
        cwd=bundle,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _wait_for_lines(path: Path, lines: int) -> None:
    limit = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_after_kill_9_it_goes_on_and_measures_nothing_twice(
    device_python: Path, device: Run, bundle: Path
) -> None:
    options = (*QUICK, "--rounds", "3")
    process = _start(device_python, bundle, options)
    out = bundle / "measured-unit-1.csv"
    _wait_for_lines(out, 4)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = _rows(out)
    assert 3 <= len(before) < 9
    # What a power cut leaves of the row that was being written.
    with out.open("ab") as file:
        file.write(b"unit-1,2026-11-21T05:0")
    done = device(*options)
    assert done.returncode == 0, done.stderr
    assert "cut a torn line" in done.stderr
    assert f"{len(before)} of 9 were measured before" in done.stderr
    after = _rows(out)
    assert len({(r["channels"], r["round"]) for r in after}) == len(after) == 9
    assert [r["timestamp"] for r in after[: len(before)]] == [r["timestamp"] for r in before]
    again = device(*options)
    assert "9 of 9 were measured before" in again.stderr
    assert _rows(out) == after


def test_ctrl_c_keeps_what_was_done_and_ends_with_130(device_python: Path, bundle: Path) -> None:
    process = _start(device_python, bundle, (*QUICK, "--rounds", "200"))
    out = bundle / "measured-unit-1.csv"
    _wait_for_lines(out, 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    rows = _rows(out)
    assert len(rows) >= 2
    assert len({row["baseline_ms"] for row in rows}) == 1


def test_two_programs_do_not_write_one_file(device_python: Path, device: Run, bundle: Path) -> None:
    process = _start(device_python, bundle, (*QUICK, "--rounds", "200"))
    _wait_for_lines(bundle / "measured-unit-1.csv", 1)
    done = device(*QUICK)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert done.returncode == 1
    assert "another measure.pyz" in done.stderr


def test_it_stops_in_time_and_says_what_is_left(device: Run, bundle: Path) -> None:
    started = time.monotonic()
    done = device(*QUICK, "--rounds", "1000", "--max-seconds", "3")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 30
    assert "of 3000 left" in done.stderr
    assert 1 <= len(_rows(bundle / "measured-unit-1.csv")) < 3000


def test_a_changed_network_is_named_and_skipped(device: Run, bundle: Path) -> None:
    with (bundle / "0001.onnx").open("ab") as file:
        file.write(b"\0")
    (bundle / "0002.onnx").unlink()
    done = device(*QUICK)
    assert done.returncode == 1
    assert "skipped: 0001.onnx is not what the manifest says" in done.stderr
    assert "skipped: 0002.onnx cannot be read" in done.stderr
    assert [r["role"] for r in _rows(bundle / "measured-unit-1.csv")] == ["reference"]


def test_a_network_that_does_not_run_here_is_named_and_skipped(device: Run, bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "0001.onnx").write_bytes(b"no network")
    manifest["configurations"][1]["sha256"] = hashlib.sha256(b"no network").hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = device(*QUICK)
    assert done.returncode == 1
    assert "skipped: 0001.onnx must be a network that onnxruntime runs on CPU" in done.stderr
    assert len(_rows(bundle / "measured-unit-1.csv")) == 2


@pytest.mark.parametrize("times", [1.96, 0.4, 1000.0])
def test_a_baseline_that_the_run_contradicts_is_named_and_not_used(
    device: Run, bundle: Path, times: float
) -> None:
    assert device(*QUICK).returncode == 0
    out = bundle / "measured-unit-1.csv"
    measured = float(_rows(out)[0]["baseline_ms"])
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["baseline_ms"] = {"unit-1": times * measured}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = device(*QUICK)  # all is measured: only the baseline is settled again
    assert f"telemetry says {times * measured:.3g} ms for the dense network" in done.stderr
    assert f"just measured {measured:.3g} ms" in done.stderr
    assert {float(row["baseline_ms"]) for row in _rows(out)} == {measured}
    manifest["baseline_ms"] = {"unit-1": 1.2 * measured}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert "telemetry says" not in device(*QUICK).stderr
    assert float(_rows(out)[0]["baseline_ms"]) == pytest.approx(1.2 * measured, rel=1e-6)


def test_two_devices_in_one_file_keep_their_own_baselines(device: Run, bundle: Path) -> None:
    out = ("--out", "both.csv")
    assert device(*QUICK, *out, "--baseline-ms", "100").returncode == 0
    assert device(*QUICK, *out, "--device-id", "unit-2", "--baseline-ms", "200").returncode == 0
    rows = _rows(bundle / "both.csv")
    assert [(r["device_id"], r["baseline_ms"]) for r in rows] == [("unit-1", "100")] * 3 + [
        ("unit-2", "200")
    ] * 3


@pytest.mark.parametrize("name", ["0000.onnx", "weights.bin"])
def test_a_cut_file_that_all_need_is_refused(device: Run, bundle: Path, name: str) -> None:
    with (bundle / name).open("r+b") as file:
        file.truncate(1000)
    done = device(*QUICK)
    assert done.returncode == 1
    assert name in done.stderr
    assert not (bundle / "measured-unit-1.csv").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be the manifest"),
        ("{", "must be the manifest"),
        ("[]", "must be the manifest"),
        ('{"format": 1}', "is damaged"),
        ('{"format": 99}', "must have format 1"),
        (
            '{"format": 1, "bundle": "b", "model": "m", "input_shape": [1, 3, 8, 8],'
            ' "configurations": []}',
            "exactly one reference",
        ),
    ],
)
def test_a_bad_manifest_is_one_line(device: Run, bundle: Path, text: str, said: str) -> None:
    (bundle / "manifest.json").write_text(text)
    _one_line(device(*QUICK), said)


def test_a_folder_that_is_no_bundle(device: Run, tmp_path: Path) -> None:
    _one_line(device(*QUICK, "--bundle", str(tmp_path)), "manifest.json")


def test_a_provider_that_is_not_there_names_those_that_are(device: Run) -> None:
    _one_line(device(*QUICK, "--provider", "cuda"), "CPUExecutionProvider")


def test_a_file_of_something_else_is_not_touched(device: Run, bundle: Path) -> None:
    other = bundle / "notes.csv"
    other.write_text("a,b\n1,2\n3")
    _one_line(device(*QUICK, "--out", "notes.csv"), "not written by this measure.pyz")
    assert other.read_text() == "a,b\n1,2\n3"


def test_a_full_disk_is_one_line_and_leaves_whole_rows(device: Run, bundle: Path) -> None:
    limit = 2500

    def no_more_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    _one_line(device(*QUICK, "--rounds", "9", preexec_fn=no_more_space), "cannot be written")
    text = (bundle / "measured-unit-1.csv").read_text()
    assert text.endswith("\n")
    assert 2 <= text.count("\n") < 27
    assert not list(bundle.glob("*.new"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_is_no_file_is_one_line(device: Run) -> None:
    _one_line(device(*QUICK, "--out", "/dev/full"), "regular file")


def test_an_output_folder_that_is_not_there_is_one_line(device: Run) -> None:
    _one_line(device(*QUICK, "--out", "nowhere/x.csv"), "use --out")


@pytest.mark.parametrize("missing", ["numpy", "onnxruntime"])
def test_a_missing_package_says_what_to_install(
    device_python: Path, bundle: Path, missing: str
) -> None:
    code = f"import sys, runpy; sys.modules[{missing!r}] = None; sys.argv = ['measure.pyz'];"
    done = subprocess.run(
        [device_python, "-I", "-c", code + "runpy.run_path('measure.pyz', run_name='__main__')"],
        cwd=bundle,
        capture_output=True,
        text=True,
        check=False,
    )
    _one_line(done, "pip install")


def _one_line(done: "subprocess.CompletedProcess[str]", said: str) -> None:
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_dry_run_writes_nothing_and_a_list_shows_what_is_done(device: Run, bundle: Path) -> None:
    before = sorted(p.name for p in bundle.iterdir())
    dry = device(*QUICK, "--dry-run")
    assert "--device-id NAME" not in device(*QUICK, "--list").stderr
    listed = device("--list")  # without a name it says which it takes
    assert re.search(r"called device-[0-9a-f]{12}, .* --device-id NAME", listed.stderr)
    assert sorted(p.name for p in bundle.iterdir()) == before
    assert dry.stdout.count(" ms ") == 3
    assert listed.stdout.count(".onnx") == 3
    assert device(*QUICK).returncode == 0
    assert [line.split()[0] for line in device("--list", *QUICK).stdout.splitlines()[1:]] == [
        "1"
    ] * 3


def test_the_csv_reads_back_what_was_written(tmp_path: Path) -> None:
    results = ResultsFile(str(tmp_path / "x.csv"))
    results.open()
    row = dict.fromkeys(COLUMNS, "")
    row.update(dict.fromkeys((*SCALED, "reference_ms", "reference_quiet_ms"), "1.5"))
    row.update({"baseline_ms": "1.5", "device_id": 'a "quoted", name', "channels": "a=1;b=2"})
    results.append(row)
    results.close()
    again = ResultsFile(str(tmp_path / "x.csv"))
    again.open()
    again.close()
    assert again.rows == [row]
    assert again.repaired == ""


def test_any_cut_of_the_file_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    row = dict.fromkeys(COLUMNS, "1")
    text = ",".join(COLUMNS) + "\n" + ",".join(row.values()) + "\n"
    whole = text + ",".join(row.values()) + "\n"
    for length in range(0, len(whole) + 1, 11):
        for tail in (b"", b"\0" * 40):
            path.write_bytes(whole[:length].encode() + tail)
            results = ResultsFile(str(path))
            results.open()
            results.append(row)
            results.close()
            found = list(csv.DictReader(io.StringIO(path.read_text())))
            assert len(found) == max(0, whole[:length].count("\n") - 1) + 1
            assert all(r == row for r in found)


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    line = ",".join("1" for _ in COLUMNS) + "\n"
    path.write_text(",".join(COLUMNS) + "\n" + line + "oops\n" + line)
    results = ResultsFile(str(path))
    with pytest.raises(DeviceError, match="line 3 is damaged"):
        results.open()
    results.close()
    assert os.path.getsize(path) > 0
