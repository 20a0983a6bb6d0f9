import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from hdap.fleet_data.documents import write_document
from hdap.fleet_data.measuring_bundle import BundleNetwork, MeasuringBundle

Hdap = Callable[..., Result]
SMALL = ("--devices", "12", "--rows", "3", "--configurations", "4", "--measured-rows", "3")


@pytest.fixture(scope="module")
def fleet(hdap: Hdap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    assert hdap("simulate", "--out", str(folder), *SMALL).exit_code == 0
    return folder


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_each_format_is_written_and_ingested_whole(hdap: Hdap, tmp_path: Path, form: str) -> None:
    done = hdap("simulate", "--out", str(tmp_path), *SMALL, "--format", form, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["simulated"] is True
    assert report["telemetry"] == str(tmp_path / f"telemetry.{form}")
    assert report["rows"] == 12 * 3 + 12 * 3
    taken = hdap("ingest", report["telemetry"], "--json", db=tmp_path / "hdap.db")
    assert taken.exit_code == 0, taken.output
    assert json.loads(taken.stdout)[0]["added"] == report["rows"]
    assert json.loads(taken.stdout)[0]["simulated"] is True


def _bundle(folder: Path, *texts: str) -> Path:
    networks = tuple(
        BundleNetwork(f"{i}.onnx", "0" * 64, 1, text, "candidate", 1, 1)
        for i, text in enumerate(texts)
    )
    content = MeasuringBundle(
        "b7", "resnet50", "a1", (1, 3, 224, 224), "generated", 18, {}, {}, (), networks
    )
    write_document(folder / "manifest.json", content)
    return folder


def test_a_bundle_is_answered_by_the_devices_that_are_named(
    hdap: Hdap, fleet: Path, tmp_path: Path
) -> None:
    bundle = _bundle(tmp_path / "bundle", "", "conv1=32")
    devices = ("--device", "sim-01", "--device", "sim-07")
    options = ("simulate", "--out", str(fleet), "--answer", str(bundle), *devices)
    done = hdap(*options)
    assert done.exit_code == 0, done.output
    assert "simulated" in done.stdout
    lines = (bundle / "simulated.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == {"sim-01", "sim-07"}
    assert json.loads(hdap(*options, "--json").stdout)["simulated"] is True


def test_no_networks_to_try_is_a_fleet_of_dense_rows(hdap: Hdap, tmp_path: Path) -> None:
    few = ("--devices", "5", "--rows", "2", "--configurations", "0", "--json")
    done = hdap("simulate", "--out", str(tmp_path), *few)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == 10


WRONG = {
    "unknown preset": (("--out", "NEW", "--preset", "toasters"), "microfleet, cameras, phones"),
    "unknown format": (("--out", "NEW", "--format", "xml"), "csv, csv.gz, parquet"),
    "folder is a file": (("--out", "FILE"), "can be written to"),
    "folder that cannot be made": (("--out", "FILE/below"), "can be written to"),
    "unknown model": (("--out", "NEW", "--model", "resnet5o"), "resnet50"),
    "answer for no device": (("--out", "FLEET", "--answer", "BUNDLE"), "--device"),
    "answer of no fleet": (("--out", "NEW", "--answer", "BUNDLE", "--device", "a"), "simulate"),
    "answer by a stranger": (("--out", "FLEET", "--answer", "BUNDLE", "--device", "a"), "sim-00"),
    "bundle of another network": (
        ("--out", "FLEET", "--answer", "BUNDLE", "--device", "sim-01"),
        "conv9",
    ),
    "folder that is no bundle": (
        ("--out", "FLEET", "--answer", "FLEET", "--device", "sim-01"),
        "manifest",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(hdap: Hdap, fleet: Path, tmp_path: Path, case: str) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    bundle = _bundle(tmp_path / "bundle", "conv9=32")
    paths = {"NEW": tmp_path / "new", "FLEET": fleet, "BUNDLE": bundle, "FILE": file}
    paths["FILE/below"] = file / "below"
    arguments, expected = WRONG[case]
    done = hdap("simulate", *(str(paths.get(part, part)) for part in arguments))
    assert done.exit_code == 1, done.output
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert expected in lines[0]


def test_an_answer_from_a_folder_that_is_not_there_is_wrong_usage(
    hdap: Hdap, tmp_path: Path
) -> None:
    done = hdap("simulate", "--out", str(tmp_path), "--answer", str(tmp_path / "none"))
    assert done.exit_code == 2
