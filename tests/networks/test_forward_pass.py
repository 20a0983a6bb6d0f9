from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.counting import count_flops
from hdap.networks.forward_pass import (
    flat_output,
    leaves,
    named_leaves,
    one_tensor,
    run_once,
)
from hdap.networks.tracing import trace

A, B, C = torch.zeros(1), torch.ones(2), torch.full((3,), 2.0)
Pair = namedtuple("Pair", ["boxes", "scores"])


@dataclass
class Found:
    boxes: Tensor
    scores: list[Tensor]
    note: str = "no tensor"


@pytest.mark.parametrize(
    ("output", "names"),
    [
        (A, ["output"]),
        ((A, B), ["output.0", "output.1"]),
        ([A, None, (B, C)], ["output.0", "output.2.0", "output.2.1"]),
        ({"boxes": A, "scores": [B, C]}, ["boxes", "scores.0", "scores.1"]),
        (OrderedDict(b=A, a=B), ["b", "a"]),
        (Pair(A, B), ["boxes", "scores"]),
        (Found(A, [B, C]), ["boxes", "scores.0", "scores.1"]),
        ({1: A, "x": {"y": B}}, ["1", "x.y"]),
    ],
)
def test_every_tensor_is_found_in_order(output: Any, names: list[str]) -> None:
    assert list(named_leaves(output)) == names
    assert [len(tensor) for tensor in leaves(output)] == [1, 2, 3][: len(names)]


@pytest.mark.parametrize("output", [None, 3, (), {}, ["text"], {1: A, "1": B}, Found])
def test_an_output_whose_tensors_have_no_names_is_refused(output: Any) -> None:
    with pytest.raises(UnsupportedModelError, match="a network must give tensors"):
        leaves(output)


def test_who_needs_one_tensor_says_what_came() -> None:
    assert one_tensor(A, "a portfolio") is A
    with pytest.raises(UnsupportedModelError) as caught:
        one_tensor({"boxes": A, "scores": [B]}, "a portfolio")
    assert "a portfolio needs a network that gives one tensor" in str(caught.value)
    assert "gives a dict (boxes, scores.0); wrap it" in str(caught.value)


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3)

    def forward(self, sound: Tensor) -> Found:
        features = self.conv(sound)
        return Found(features, [features.mean(2), features.argmax(1)])


def test_an_output_is_flat_only_inside() -> None:
    network = Detector().eval()
    with flat_output(network, (2, 16)) as names:
        inside = run_once(network, (2, 16))
    assert names == tuple(inside) == ("boxes", "scores.0", "scores.1")
    assert isinstance(run_once(network, (2, 16)), Found)


def test_one_tensor_stays_as_it_is() -> None:
    network = nn.Conv2d(3, 4, 1)
    with flat_output(network, (3, 4, 4)) as names:
        assert names == ("output",)
        assert run_once(network, (3, 4, 4)).shape == (1, 4, 4, 4)


class _Closely(nn.Module):
    """Code that looks so closely at numbers that only computed ones will do."""

    input_shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x)
        if not float(x.abs().sum()):
            raise ValueError("nothing is seen")
        return x.mean((2, 3))


def test_code_that_looks_closely_at_numbers_gets_computed_ones() -> None:
    network = _Closely()
    assert count_flops(network, (3, 16, 16))[""] == 14**2 * 27 * 8 + 12**2 * 72 * 8
    assert [g.name for g in trace(network).groups] == ["layers.0"]
