"""Runs for shapes and products alone: a recurrence takes its steps at once."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hdap.networks.flop_counter import counting, macs_of
from hdap.networks.forward_pass import run_once
from hdap.networks.shapes_alone import shapes_alone
from hdap.networks.tracing import trace


def test_shapes_alone_are_right_where_no_product_is_computed() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    with shapes_alone(network):
        output = run_once(network, (3, 8, 8))
    assert output.shape == (1, 5)
    assert not output.any()
    assert run_once(network, (3, 8, 8)).any()


def counted(
    network: nn.Module, given: Any, how: AbstractContextManager[None]
) -> tuple[dict[str, int], list[tuple[int, ...]]]:
    with torch.no_grad(), how, counting(network) as counter:
        output = network(*given)
    return macs_of(counter), [tuple(x.shape) for x in tree_leaves(output) if x is not None]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    "network",
    [
        nn.LSTM(5, 4, batch_first=True),
        nn.LSTM(5, 4, num_layers=2, bidirectional=True),
        nn.LSTM(5, 4, proj_size=2),
        nn.GRU(5, 4, num_layers=2, batch_first=True),
        nn.RNN(5, 4, bidirectional=True),
    ],
)
def test_a_recurrence_costs_and_gives_the_same_step_by_step(
    network: nn.Module, device: str
) -> None:
    network = network.to(device).eval()
    sequences = torch.zeros(3, 7, 5, device=device)
    for given in ((sequences,), (sequences, network(sequences)[1])):
        steps = counted(network, given, nullcontext())
        assert counted(network, given, shapes_alone(network)) == steps
        assert steps[0][""] > 0


def test_sequences_of_unequal_lengths_go_step_by_step() -> None:
    network = nn.LSTM(5, 4).eval()
    packed = nn.utils.rnn.pack_padded_sequence(torch.zeros(3, 2, 5), [3, 1])
    with shapes_alone(network):
        assert network(packed)[0].data.shape == (4, 4)


class Reader(nn.Module):
    input_shape = (8, 12)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 10), nn.Linear(10, 6)
        self.reader = nn.LSTM(6, 7, batch_first=True, bidirectional=True)
        self.third, self.head = nn.Linear(14, 16), nn.Linear(16, 3)

    def forward(self, words: Tensor) -> Tensor:
        read = self.reader(self.second(self.first(words)))[0]
        result: Tensor = self.head(self.third(read))
        return result


def test_a_recurrence_is_described_once_and_not_a_step() -> None:
    architecture = trace(Reader())
    assert [g.name for g in architecture.groups] == ["first", "third"]
    recurrent = {x.name: x for x in architecture.layers if x.name.startswith("reader")}
    assert sorted(recurrent) == [
        *("reader.weight_hh_l0", "reader.weight_hh_l0_reverse"),
        *("reader.weight_ih_l0", "reader.weight_ih_l0_reverse"),
    ]
    assert {x.output_size for x in recurrent.values()} == {(1, 8)}
