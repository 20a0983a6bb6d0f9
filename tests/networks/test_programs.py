import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.factories import factories_by_leave_of
from hdap.networks.forward_pass import run
from hdap.networks.loading import load_model
from hdap.networks.model_tracer import ModelTracer

SHAPE = (1, 64)


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(1, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()
    )


def _saved(network: nn.Module, path: Path, *inputs: Any, **settings: Any) -> str:
    torch.export.save(torch.export.export(network, inputs, **settings), path)
    return str(path)


@pytest.fixture
def program(tmp_path: Path) -> str:
    return _saved(_network().eval(), tmp_path / "net.pt2", torch.zeros(1, *SHAPE))


def test_a_program_is_a_model_with_its_weights_and_its_input(program: str) -> None:
    loaded, network = load_model(program), _network().eval()
    assert loaded.input_shape == SHAPE
    expected = network.state_dict()
    assert loaded.module.state_dict().keys() == expected.keys()
    sound = torch.randn(3, *SHAPE)
    with torch.no_grad():
        assert torch.equal(loaded.module(sound), network(sound))
        assert torch.equal(loaded.module.train()(sound), network(sound))
    assert not loaded.module.eval().training


def test_a_program_goes_to_meta(program: str) -> None:
    loaded = load_model(program, device="meta")
    output = loaded.module(torch.zeros(2, *SHAPE, device="meta"))
    assert output.shape == (2, 8 * 62)


def test_the_batch_of_a_program_may_be_open(tmp_path: Path) -> None:
    batch = ({0: torch.export.Dim("batch", min=1)},)
    name = _saved(
        _network().eval(), tmp_path / "net.pt2", torch.zeros(2, *SHAPE), dynamic_shapes=batch
    )
    assert load_model(name).input_shape == SHAPE


class Flattened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(1, 4, 3), nn.Linear(4 * 62, 3)

    def forward(self, sound: Tensor) -> Tensor:
        features: Tensor = self.conv(sound)
        found: Tensor = self.head(features.reshape(len(features), -1))
        return found


def test_a_batch_that_is_written_into_the_graph_stays(tmp_path: Path) -> None:
    name = _saved(Flattened().eval(), tmp_path / "net.pt2", torch.zeros(1, *SHAPE))
    for module in (load_model(name).module, copy.deepcopy(load_model(name).module)):
        assert run(module, torch.randn(1, *SHAPE)).shape == (1, 3)
        with pytest.raises(UnsupportedModelError, match="Guard failed"):
            run(module, torch.randn(2, *SHAPE))


def _in_training_mode(path: Path) -> str:
    return _saved(_network().train(), path, torch.zeros(2, *SHAPE))


def _of_a_pair(path: Path) -> str:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, both: tuple[Tensor, Tensor]) -> Tensor:
            return both[0] * self.weight + both[1]

    return _saved(Pair().eval(), path, (torch.zeros(1, 2), torch.zeros(1, 2)))


def _of_tokens(path: Path) -> str:
    return _saved(nn.Embedding(10, 4), path, torch.zeros(1, 6, dtype=torch.int64))


def _garbage(path: Path) -> str:
    path.write_bytes(b"no program")
    return str(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (str, "there is no file"),
        (_garbage, "export the network again"),
        (_in_training_mode, r"must be exported in eval mode, but its aten::\w+ is training"),
        (_of_a_pair, "an argument of its own, but takes 1 x 2 of torch.float32, 1 x 2 of"),
        (_of_tokens, "must take tensors of floats, each .*, but takes 1 x 6 of torch.int64"),
    ],
)
def test_a_program_that_is_no_model_is_one_clear_line(
    make: Callable[[Path], str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = make(tmp_path / "net.pt2")
    with pytest.raises(InputError, match=said) as caught:
        load_model(name)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_program_is_loaded_by_leave_alone(program: str) -> None:
    def forbid(name: str) -> None:
        raise InputError(f"not {name}")

    with factories_by_leave_of(forbid), pytest.raises(InputError, match=f"not {program}"):
        load_model(program)


def test_telemetry_never_has_a_program_loaded(program: str) -> None:
    said: list[str] = []
    assert ModelTracer(said.append)(program) is None
    assert said == [
        f"{program} is a program: run `hdap model {program}` before its rows are loaded"
    ]


def test_pretrained_weights_of_a_program_are_refused(program: str) -> None:
    with pytest.raises(InputError, match="only timm models have pretrained weights"):
        load_model(program, pretrained=True)
