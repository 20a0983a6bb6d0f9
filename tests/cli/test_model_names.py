"""Models at an input of their own, and programs, by name through the commands."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import Result

Hdap = Callable[..., Result]


def test_a_model_at_another_input_is_another_model(hdap: Hdap, tmp_path: Path) -> None:
    db = tmp_path / "hdap.db"
    at = hdap("model", "resnet18", "--input", "3x96x160", "--json", db=db)
    assert at.exit_code == 0, at.output
    found = json.loads(at.stdout)
    assert (found["model"], found["input_shape"]) == ("resnet18@3x96x160", [3, 96, 160])
    own = json.loads(hdap("model", "resnet18", "--json", db=db).stdout)
    assert own["flops"] > 3 * found["flops"]
    again = hdap("model", "resnet18@3x96x160", db=db)
    assert "tracing" not in again.stderr
    assert "input 3x96x160" in again.stdout
    telemetry = tmp_path / "telemetry.csv"
    rows = ["d1,resnet18@3x96x160,5", "d1,resnet18,13", "d1,mobilenetv1_100@3x64x64,2"]
    telemetry.write_text("\n".join(["device_id,model,latency_ms", *rows, ""]))
    assert hdap("ingest", str(telemetry), db=db).exit_code == 0
    listed = hdap("sql", "SELECT model FROM telemetry ORDER BY 1", "--csv", db=db).stdout.split()
    assert listed == ["model", "mobilenetv1_100@3x64x64", "resnet18", "resnet18@3x96x160"]


def test_search_takes_the_input_for_the_name(hdap: Hdap, searched: Path) -> None:
    asked = ("search", "--flops", "1.0G", "--model", "resnet50", "--input")
    told = hdap(*asked, "3x288x288", db=searched).stderr
    assert "must hold measurements of resnet50@3x288x288, but it has: resnet50" in told
    wrong = hdap(*asked, "3x0", db=searched)
    assert wrong.exit_code == 2
    assert "1 to 4 sizes such as 3x288x288" in " ".join(wrong.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet18@3x64", "timm models take images, channels x height x width"),
        ("resnet18@x", "what follows @ in the name of a model must be an input"),
        ("nowhere.pt2", "there is no file nowhere.pt2"),
    ],
)
def test_a_name_that_is_wrong_is_one_line(hdap: Hdap, tmp_path: Path, name: str, said: str) -> None:
    done = hdap("model", name, db=tmp_path / "hdap.db")
    assert done.exit_code == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert said in line


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("ran", "w")


def _with_code(path: Path) -> None:
    """A program whose example input, once unpickled, writes the file `ran`."""
    content, trap = io.BytesIO(), io.BytesIO()
    torch.save(_Trap(), trap)
    network = nn.Conv1d(1, 2, 3).eval()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 1, 8),)), content)
    with zipfile.ZipFile(content) as found, zipfile.ZipFile(path, "w") as written:
        for name in found.namelist():
            part = trap.getvalue() if "sample_inputs" in name else found.read(name)
            written.writestr(name, part)


def test_a_program_is_loaded_where_a_person_names_it(hdap: Hdap, here: Path) -> None:
    _with_code(here / "their.pt2")
    (here / "hdap.toml").write_text('[simulate]\nmodel = ["their.pt2"]\nout = "fleet"\n')
    done = hdap("simulate")
    assert "load their.pt2, which may hold code (model)" in done.stderr
    assert not (here / "ran").exists()
    telemetry = here / "telemetry.csv"
    telemetry.write_text("device_id,model,latency_ms,channels\nd1,their.pt2,5,conv=1\n")
    told = hdap("ingest", str(telemetry), db=here / "hdap.db").stderr
    assert "their.pt2 is a program: run `hdap model their.pt2`" in told
    assert not (here / "ran").exists()
    assert "export the network again" in hdap("simulate", "--model", "their.pt2").stderr
    assert (here / "ran").exists()


def test_a_factory_that_a_person_named_may_run_at_any_input(hdap: Hdap, here: Path) -> None:
    done = hdap("model", "trainnets:small@1x6x8", "--json", db=here / "hdap.db")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["input_shape"] == [1, 6, 8]
