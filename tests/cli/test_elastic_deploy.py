"""A trained elastic network as a folder that a device runs."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import Result

from hdap.elastic import load_elastic
from hdap.elastic.sessions import LevelSessions

Hdap = Callable[..., Result]
MODEL = "elasticdeploynets:small"
CODE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def small():
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(32, 3),
    )
    network.input_shape = (1, 6, 6)
    return network

def rows():
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (32,), generator=rng)
    return TensorDataset(torch.randn(32, 1, 6, 6, generator=rng), labels), None
"""


@pytest.fixture
def trained(hdap: Hdap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "elasticdeploynets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "elasticdeploynets", raising=False)
    asked = ("--model", MODEL, "--data", "elasticdeploynets:rows", "--flops", "50%,100%")
    done = hdap("elastic", "train", *asked, "--epochs", "1", "--out", "trained", db="hdap.db")
    assert done.exit_code == 0, done.output
    return tmp_path / "trained"


def test_every_deployed_level_answers_as_the_elastic_network(hdap: Hdap, trained: Path) -> None:
    done = hdap("elastic", "deploy", str(trained), "--model", MODEL, "--out", "device", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["levels"] == 2
    elastic = load_elastic(trained, model=MODEL)
    image = np.random.default_rng(0).standard_normal((1, 1, 6, 6)).astype(np.float32)
    levels = LevelSessions("device")
    for level in range(2):
        elastic.set_level(level)
        with torch.no_grad():
            expected = elastic(torch.from_numpy(image)).numpy()
        assert levels.run(level, image)[0] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert {"controller.py", "sessions.py", "weights.bin"} <= {
        x.name for x in Path("device").iterdir()
    }
    again = hdap("elastic", "deploy", str(trained), "--model", MODEL, "--out", "device")
    assert again.exit_code == 1
    assert "must be new or empty" in again.stderr
