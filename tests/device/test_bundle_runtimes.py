"""Bundles for other runtimes and precisions, measured where their packages are installed."""

import csv
from pathlib import Path

import pytest
from torch import nn

from hdap.device.messages import DeviceError
from hdap.device.runtimes.instruction_set import instruction_set
from hdap.device.runtimes.registry import load_runtime
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.software import RunBy
from hdap.workflows.write_bundle import PlannedConfiguration, run_measure, write_bundle

Small = tuple[nn.Module, Architecture]
QUICK = ("--device-id", "here", "--runs", "2", "--min-seconds", "0.01", "--baseline-ms", "1")


@pytest.mark.parametrize(
    "run_by", [RunBy("openvino", "int8"), RunBy("ncnn", "int8"), RunBy("onnxruntime", "int8")]
)
def test_a_bundle_is_measured_by_what_it_is_made_for(
    run_by: RunBy,
    small_model: Small,
    small_plan: list[PlannedConfiguration],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        runtime = load_runtime(run_by.runtime)
    except DeviceError as missing:
        pytest.skip(str(missing))
    module, architecture = small_model
    folder = tmp_path / "bundle"
    write_bundle(folder, architecture, module, small_plan[:1], run_by=run_by)
    text = (folder / "README.txt").read_text()
    assert f"pip install {runtime.package} numpy" in text
    assert run_measure(folder, QUICK) == 0
    with (folder / "measured-here.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert {row["runtime"] for row in rows} == {runtime.label}
    assert {row["precision"] for row in rows} == {"int8"}
    assert {row["threads"] for row in rows} == {"1"}
    assert {row["instruction_set"] for row in rows} == {instruction_set()}
    assert run_measure(folder, [*QUICK, "--precision", "float32"]) == 1
    assert "--precision must be int8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("run_by", "match"),
    [
        (RunBy("onnxruntim"), "--runtime must be one of onnxruntime, openvino"),
        (RunBy("torch", "int8"), "--precision of torch must be one of float32"),
    ],
)
def test_what_there_is_not_is_one_line(
    run_by: RunBy, match: str, small_model: Small, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=match):
        write_bundle(tmp_path / "bundle", small_model[1], small_model[0], [], run_by=run_by)
    assert list(tmp_path.iterdir()) == []


def test_the_instruction_set_is_told_by_what_the_system_says(tmp_path: Path) -> None:
    assert instruction_set(str(tmp_path)) == ""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(
        "processor : 0\nFeatures : fp asimd asimdhp asimddp\nprocessor : 1\n"
    )
    assert instruction_set(str(tmp_path)) == "neon+fp16+dotprod"
