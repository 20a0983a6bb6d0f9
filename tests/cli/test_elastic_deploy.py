"""A trained elastic network as a folder that a device runs."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import Result

from hdap.device.controller import read_table
from hdap.device.sessions import LevelSessions
from hdap.elastic import load_elastic
from hdap.elastic.level_file import ClockEntry, ClusterEntry, LevelEntry, LevelFile
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.documents import write_document

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
    assert {"controller.pyz", "weights.bin"} <= {x.name for x in Path("device").iterdir()}
    again = hdap("elastic", "deploy", str(trained), "--model", MODEL, "--out", "device")
    assert again.exit_code == 1
    assert "must be new or empty" in again.stderr


def test_the_controller_gets_the_levels_that_were_trained_and_no_others(
    hdap: Hdap, trained: Path
) -> None:
    elastic = load_elastic(trained, model=MODEL)
    architecture, rows = elastic.architecture, elastic.levels.counts
    point = ClockEntry(1.0, 1, (1.0, 2.0), (1.0, 2.0), (1.0, 2.0))
    cluster = ClusterEntry(0, 1.0, "all", None, None, (point,))
    channels = format_channels(architecture, rows)
    levels = tuple(
        LevelEntry(i, text, 1, 1, i / 2, None, tuple(row.tolist()))
        for i, (row, text) in enumerate(zip(rows, channels, strict=True))
    )
    document = LevelFile(
        plan=1,
        simulated=False,
        model=MODEL,
        architecture=architecture.digest,
        clustering=1,
        fleet="0" * 16,
        target_ms=3.0,
        risk=1.0,
        groups=tuple(group.name for group in architecture.groups),
        widths=tuple(architecture.widths.tolist()),
        levels=levels,
        clusters=(cluster,),
    )
    write_document(Path("levels.json"), document)
    asked = ("elastic", "deploy", str(trained), "--model", MODEL, "--levels", "levels.json")
    done = hdap(*asked, "--out", "device")
    assert done.exit_code == 0, done.output
    table = read_table("device/levels.json", 0, {"architecture": architecture.digest})
    assert [point.level for point in table.points] == [0, 1]

    other = rows.copy()
    other[0] -= 1
    levels = tuple(
        replace(level, counts=tuple(row.tolist())) for level, row in zip(levels, other, strict=True)
    )
    write_document(Path("levels.json"), replace(document, levels=levels))
    refused = hdap(*asked, "--out", "second")
    assert refused.exit_code == 1
    assert "must hold the levels that" in refused.stderr
    assert not Path("second").exists()
