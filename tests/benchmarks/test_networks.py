"""The benchmark of networks: what it asks is asked once, and it sees what is wrong."""

import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from benchmarks.networks import __main__ as benchmark
from benchmarks.networks import stages
from benchmarks.networks.cases.branches import FPN, C2fV2
from benchmarks.networks.cases.outputs import DictOut, YoloHeads
from benchmarks.networks.exactness import TOLERANCE, compared
from benchmarks.networks.processes import Limits, in_own_process
from benchmarks.networks.rival import output_layers, rival
from benchmarks.networks.rows import Lines, Rival, Row, Traced
from benchmarks.networks.shipped import others, smallest
from benchmarks.networks.tables import reason, tables
from hdap.fleet_data.architecture import Architecture
from hdap.networks.surgery import prune

ROOT = Path(__file__).resolve().parents[2]
BRANCHES = "benchmarks.networks.cases.branches:C2fV2"
REFUSED = "every channel must follow from the width groups alone, but `{}` is an Odd that moves"
ROW = Row("cases/A", "cases", "a:A", Traced(1.0, REFUSED.format("a.b")), None, Rival(1.0, half=0.5))


@pytest.fixture(scope="module")
def description() -> str:
    """Of `BRANCHES`, as JSON."""
    return stages.traced(BRANCHES)[1]


def test_a_run_answers_for_every_network_and_a_second_asks_none_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        benchmark.main(only="cases/Groups", work=tmp_path, export=1)
    assert not ended.value.code
    command = [sys.executable, "-m", "benchmarks.networks", "--only", "cases/Groups"]
    command += ["--work", str(tmp_path), "--export", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = capsys.readouterr().out, done.stdout
    rows = Lines(tmp_path / "rows.jsonl", Row).rows
    assert [row.label for row in rows] == ["cases/Groups4", "cases/GroupsDiffer"]
    for row in rows:
        assert row.traced.accepted
        assert row.traced.smallest < row.traced.half < 1
        assert row.proof
        assert row.proof.wrong == ""
        assert row.proof.moved > 0.01 > TOLERANCE > row.proof.error
        assert f"{row.label} ({row.name}): accepted" in first
    assert len(second) > 100
    assert first.endswith(second)


def test_every_network_has_a_label_of_its_own_and_can_be_found() -> None:
    networks = list(others())
    assert len({network.label for network in networks}) == len(networks) > 70


def test_the_smallest_of_a_timm_module_is_what_timm_counts() -> None:
    with torch.device("meta"):
        sizes = {
            name: sum(p.numel() for p in timm.create_model(name).parameters())
            for name in timm.list_models(module="lcnetv2")
        }
    found = smallest("lcnetv2")
    assert found is not None
    assert found.name == min(sizes, key=lambda name: sizes[name])


def fail_loudly() -> None:
    raise KeyError("what")


@pytest.mark.parametrize(
    ("function", "given", "failure"),
    [
        (os._exit, 3, "its process ended with status 3"),
        (os.abort, None, "its process ended with status -6"),
        (fail_loudly, None, "KeyError: 'what'"),
        (bytearray, 2**40, "MemoryError"),
    ],
)
def test_a_process_that_gives_nothing_is_told_of(
    function: Callable[..., Any], given: int | None, failure: str
) -> None:
    ended = in_own_process(function, *([] if given is None else [given]), limits=Limits())
    assert (ended.value, ended.failure) == (None, failure)


def test_a_process_that_takes_too_long_is_told_of() -> None:
    ended = in_own_process(time.sleep, 60, limits=Limits(seconds=1.0))
    assert (ended.value, ended.failure) == (None, "it took longer than 1 s")


def unpruned(module: nn.Module, *_: Any) -> nn.Module:
    return module


def shuffled(module: nn.Module, *given: Any) -> nn.Module:
    """As many channels as promised, of which a convolution reads some in another order."""
    result = prune(module, *given)
    weight = result.get_submodule("m.0.b.0").get_parameter("weight")
    with torch.no_grad():
        weight.copy_(weight.roll(1, 1))
    return result


def without_a_channel(module: nn.Module, *given: Any) -> nn.Module:
    """As many channels as promised, but the first of a batch norm twice."""
    result = prune(module, *given)
    with torch.no_grad():
        bias = result.get_submodule("stem.1").get_parameter("bias")
        bias[-1] = bias[0]
    return result


def test_pruning_that_is_right_is_proved(description: str) -> None:
    proof = stages.proved(BRANCHES, description)
    assert proof.wrong == ""
    assert proof.moved > 0.01


@pytest.mark.parametrize(
    ("wrong", "says"), [(unpruned, "FLOPs and parameters, not"), (shuffled, "masked network's")]
)
def test_pruning_that_is_wrong_is_seen(
    wrong: Callable[..., nn.Module], says: str, description: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "prune", wrong)
    assert says in stages.proved(BRANCHES, description).wrong


def test_a_number_that_pruning_leaves_twice_is_seen(
    description: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "prune", without_a_channel)
    with pytest.raises(ValueError, match=r"stem\.1\.bias"):
        stages.proved(BRANCHES, description)


class Products(nn.Module):
    """Two layers that are combined over their channels, of which the last are cut off."""

    def __init__(self, combine: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.q, self.k, self.combine = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 1), combine

    def forward(self, image: Tensor) -> Tensor:
        return self.combine(self.q(image), self.k(image))


def first_channels(products: nn.Module) -> nn.Module:
    pruned = copy.deepcopy(products)
    for name in ("q", "k"):
        layer = pruned.get_submodule(name)
        layer.weight, layer.bias = (nn.Parameter(p[:4]) for p in layer.parameters())
    return pruned


@pytest.mark.parametrize(
    ("combine", "silent", "wrong"),
    [
        (lambda q, k: (q * k).sum(1), True, False),
        (lambda q, k: (q * k).mean(1), False, True),
        (lambda q, k: (q * k)[:, :2], False, False),
    ],
)
def test_channels_that_are_gone_are_ignored_or_zero(
    combine: Callable[[Tensor, Tensor], Tensor], silent: bool, wrong: bool
) -> None:
    images = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = compared(Products(combine), first_channels, images)
    assert (found.silent, bool(found.wrong)) == (silent, wrong)


def test_a_description_with_a_wrong_layer_is_seen(description: str) -> None:
    architecture = Architecture.from_json(description)
    first, *rest = architecture.layers
    wrong = replace(architecture, layers=(replace(first, output_size=(31, 32)), *rest))
    assert "FLOPs and parameters, not" in stages.proved(BRANCHES, wrong.to_json()).wrong


@pytest.mark.parametrize(
    ("network", "layers"),
    [
        (C2fV2(), {"head.fc"}),
        (FPN(), {"out"}),
        (DictOut(), {"cls.fc", "aux.fc"}),
        (YoloHeads(), {"h.0", "h.1", "h.2"}),
        (nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4, bias=False)), {"1"}),
    ],
)
def test_the_layers_that_make_the_output_are_found(network: nn.Module, layers: set[str]) -> None:
    shape = getattr(network, "input_shape", (5, 8))
    found = set(output_layers(network, network(torch.zeros(1, *shape))))
    assert {name for name, layer in network.named_modules() if layer in found} == layers


def test_the_rival_prunes_what_it_can_and_its_failure_is_named() -> None:
    right = rival(BRANCHES)
    assert right.wrong == right.failure == ""
    assert 0.0 < right.half < 0.5
    mixing = rival("benchmarks.networks.cases.outputs:SoftmaxMid")
    assert "from the masked network's" in mixing.wrong
    split = "benchmarks.networks.cases.branches:C2fSplit"
    assert rival(split).failure == "it cannot follow the network (IndexError)"


def test_a_line_that_was_cut_off_is_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    for label in ("cases/A", "cases/B"):
        Lines(file, Row).add(replace(ROW, label=label))
    file.write_text(file.read_text()[:-20])
    again = Lines(file, Row)
    again.add(replace(ROW, label="cases/C"))
    assert [row.label for row in Lines(file, Row).rows] == ["cases/A", "cases/C"]


def test_refusals_that_differ_in_names_and_numbers_are_one_reason() -> None:
    assert reason("but `a.b` does 12 FLOPs, not 1,024") == reason("but `c` does 7 FLOPs, not 8")
    other = replace(ROW, label="cases/B", traced=Traced(2.0, REFUSED.format("stem")))
    shown = "\n".join(tables([ROW, other]))
    assert f"    2  {REFUSED.format('x').replace('`x`', '_')}\n       cases/A, cases/B" in shown
