"""`hdap model`: what can go, what stays and why, and what a person keeps."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Hdap = Callable[..., Result]
NETWORK = """
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    input_shape = (3, 16, 16)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3)
        self.inner = nn.Sequential(nn.Conv2d(12, 8, 1), nn.ReLU(), nn.Conv2d(8, 6, 1))

    def forward(self, x):
        x = self.stem(x)
        return self.inner(x - x.mean(1, keepdim=True)).mean((2, 3))
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "odd_network.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    return "odd_network:Net"


def test_what_stays_is_said_with_its_reason(hdap: Hdap, net: str, tmp_path: Path) -> None:
    shown = hdap("model", net, db=tmp_path / "hdap.db")
    assert shown.exit_code == 0, shown.output
    assert "kept whole: stem (12 channels): it is taken together by `mean`" in shown.stdout
    assert "1 width group" in shown.stdout
    found = json.loads(hdap("model", net, "--json", db=tmp_path / "hdap.db").stdout)
    assert [k["layer"] for k in found["kept"]] == ["stem"]
    assert 0 < found["flops_that_can_go"] < 1


def test_a_person_keeps_more(hdap: Hdap, tmp_path: Path) -> None:
    db = tmp_path / "hdap.db"
    asked = ("model", "resnet18", "--keep", "conv1,layer4", "--json")
    found = json.loads(hdap(*asked, db=db).stdout)
    names = [g["name"] for g in found["width_groups"]]
    assert not [n for n in names if n == "conv1" or n.startswith("layer4")]
    assert "layer3.0.conv1" in names
    assert {k["why"] for k in found["kept"]} == {"is kept by --keep"}
    wrong = hdap("model", "resnet18", "--keep", "layer9", db=db)
    assert wrong.exit_code == 1
    assert "none is like 'layer9'" in wrong.stderr


def test_a_search_keeps_them_too(hdap: Hdap, database: Path) -> None:
    asked = ("search", "--model", "resnet50", "--flops", "70%", "--trials", "20", "--json")
    found = json.loads(hdap(*asked, "--keep", "conv1,layer1*", db=database).stdout)
    whole = {"conv1": 64, "layer1.0.conv1": 64, "layer1.0.conv2": 64, "layer1.0.conv3": 256}
    assert {name: found["channels"][name] for name in whole} == whole


SEVERAL = """
import torch
from torch import nn


class Steering(nn.Module):
    input_shape = {"image": (3, 16, 16), "speed": (4,)}

    def __init__(self):
        super().__init__()
        self.seen = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.out = nn.Linear(12, 2)

    def forward(self, image, speed):
        return self.out(torch.cat([self.seen(image).mean((2, 3)), speed], 1))
"""


@pytest.fixture
def steering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "steering_network.py").write_text(SEVERAL)
    monkeypatch.chdir(tmp_path)
    return "steering_network:Steering"


def test_a_network_of_several_inputs_has_them_by_name(
    hdap: Hdap, steering: str, tmp_path: Path
) -> None:
    db = tmp_path / "hdap.db"
    shown = hdap("model", steering, db=db)
    assert shown.exit_code == 0, shown.output
    assert "input image=3x16x16,speed=4" in shown.stdout
    asked = ("model", steering, "--input", "image=3x24x16,speed=4", "--json")
    found = json.loads(hdap(*asked, db=db).stdout)
    assert found["model"] == f"{steering}@image=3x24x16,speed=4"
    assert found["input_shape"] == {"image": [3, 24, 16], "speed": [4]}


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("model", "{}", "--input", "speed=4,image=3x16x16"), 2, "in the order of their names"),
        (("model", "{}@image=3x16x16"), 1, "must run on inputs of image=3x16x16"),
        (("model", "resnet18", "--input", "x=3x32x32"), 1, "timm models take images"),
    ],
)
def test_inputs_that_do_not_work_are_one_line(
    command: tuple[str, ...], code: int, said: str, hdap: Hdap, steering: str, tmp_path: Path
) -> None:
    told = hdap(*(part.format(steering) for part in command), db=tmp_path / "hdap.db")
    assert told.exit_code == code, told.output
    assert said in " ".join(told.stderr.replace("│", " ").split())


def test_what_measures_one_input_says_so(hdap: Hdap, steering: str, database: Path) -> None:
    told = hdap("plan", "--model", steering, "--out", "b", db=database)
    assert told.exit_code == 1, told.output
    assert "measuring on devices needs a network of one input" in told.stderr
