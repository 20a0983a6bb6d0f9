"""Files that are no weights: other things, code, damage, and what was made to harm."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hdap.fleet_data.errors import InputError
from hdap.networks.weights import load_weights


def _small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3))


def _load(content: Any, folder: Path) -> None:
    torch.save(content, folder / "w.pt")
    load_weights(_small(), folder / "w.pt")


def test_a_whole_pickled_module_is_refused_with_the_remedy(tmp_path: Path) -> None:
    remedy = (
        r"whole pickled module, which is code.*torch.save\(model.state_dict\(\), 'weights.pt'\)"
    )
    for content in (_small(), {"epoch": 3, "model": _small()}):
        with pytest.raises(InputError, match=remedy):
            _load(content, tmp_path)


def test_a_module_of_an_old_torch_is_told_from_damage(tmp_path: Path) -> None:
    torch.save(_small(), tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"whole pickled module"):
        load_weights(_small(), tmp_path / "w.pt")


def test_other_code_in_a_file_is_named_and_not_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"objects of `random.Random`, which is code"):
        _load({"state_dict": _small().state_dict(), "rng": random.Random(0)}, tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["a TorchScript program", "a torch.export program"])
def test_programs_are_named_and_the_remedy_takes_their_weights_out(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made, image = _small().eval(), torch.ones(1, 3, 9, 9)
    if "Script" in kind:
        torch.jit.trace(made, image).save("program")  # type: ignore[no-untyped-call]
    else:
        torch.export.save(torch.export.export(made, (image,)), "program.pt2")
    path = next(tmp_path.iterdir())
    with pytest.raises(InputError, match=kind) as caught:
        load_weights(_small(), path)
    remedy = str(caught.value).partition("take its weights out: ")[2]
    exec(remedy, {"torch": torch})
    module = _small()
    load_weights(module, Path("weights.pt"))
    assert all(torch.equal(v, made.state_dict()[k]) for k, v in module.state_dict().items())


def _deep() -> Any:
    content: Any = _small().state_dict()
    for _ in range(100):
        content = {"model": content}
    return content


def _crossed() -> Any:
    """Every value is the same mapping: 100 ^ 4 ways through it."""
    content: Any = {"x": torch.ones(1)}
    for _ in range(4):
        content = {str(n): content for n in range(100)}
    return content


HOSTILE: dict[str, Callable[[], Any]] = {
    "deep": _deep,
    "crossed": _crossed,
    "a name of dots": lambda: {"." * 100_000: torch.ones(1)},
    "many short names": lambda: {f"{n}.weight": torch.ones(1) for n in range(5_000)},
    "names that move a terminal's cursor": lambda: {"\x1b[2J\n": torch.ones(1)},
    "no names": lambda: {0: torch.ones(1)},
    "an empty name": lambda: {"": torch.ones(1)},
    "sparse": lambda: {"model": {"0.weight": torch.eye(3).to_sparse()}},
    "empty": dict,
    "a tensor": lambda: torch.ones(3),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_ends_in_one_line(what: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _load(HOSTILE[what](), tmp_path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_file_loads_or_ends_in_one_line(
    at: float, byte: int, cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "w.pt"
    torch.save({"state_dict": _small().state_dict()}, path)
    content = bytearray(path.read_bytes())
    place = int(at * len(content))
    content[place] = byte
    path.write_bytes(content[:place] if cut else content)
    with suppress(InputError):
        load_weights(_small(), path)
