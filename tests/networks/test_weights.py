"""Weights as people have them: wrapped, prefixed, several at once, under other names."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from hdap.fleet_data.errors import InputError
from hdap.networks.weights import load_weights

State = dict[str, Tensor]


def _small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
    )


def _blocks() -> nn.Module:
    return nn.ModuleDict({"stem": _small(), "body": _small(), "head": nn.Linear(4, 2)})


def _attention() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16)


def _plain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4, bias=False))


MODULES = (_small, _blocks, _attention, _plain)


def _state(make: Callable[[], nn.Module] = _small, seed: int = 0) -> State:
    """A state dict in which every two tensors differ."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(value.shape, generator=generator) if value.ndim else value
        for name, value in make().state_dict().items()
    }


def _under(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {prefix + name: value for name, value in state.items()}


def _loaded(
    content: Any, folder: Path, make: Callable[[], nn.Module] = _small
) -> tuple[State, str]:
    torch.save(content, folder / "w.pt")
    module = make()
    fit = load_weights(module, folder / "w.pt")
    return module.state_dict(), fit.words


def _assert_equal(found: State, wanted: Mapping[str, Tensor]) -> None:
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


WRAPPED: dict[str, Callable[[State], Any]] = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"state": {0: {}}}},
    "model": lambda s: {"model": s},
    "net": lambda s: {"net": s, "acc": 0.9},
    "ema": lambda s: {"ema": s},
    "ema of a module": lambda s: {"ema": {"module": s, "updates": 7}},
    "model_ema": lambda s: {"model_ema": s},
    "params": lambda s: {"params": s},
    "a name of one's own": lambda s: {"checkpoint": {"weights": s}},
    "options of a training": lambda s: {"state_dict": s, "args": argparse.Namespace(lr=0.1)},
    "numbers beside": lambda s: {**s, "epoch": 3},
    "module.": lambda s: _under("module.", s),
    "_orig_mod.": lambda s: {"model": _under("_orig_mod.", s)},
    "backbone.": lambda s: {"state_dict": _under("backbone.", s)},
    "encoder.": lambda s: _under("encoder.", s),
    "net.": lambda s: _under("net.", s),
    "compiled and distributed": lambda s: {"model": _under("_orig_mod.module.", s)},
    "compiled and distributed otherwise": lambda s: _under("module._orig_mod.model.", s),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_what_is_wrapped_arrives_without_a_word(how: str, tmp_path: Path) -> None:
    state = _state()
    found, words = _loaded(WRAPPED[how](state), tmp_path)
    _assert_equal(found, state)
    assert words == ""


SEVERAL: dict[str, tuple[Callable[[State, State], Any], str]] = {
    "ema beside model": (
        lambda meant, other: {"model": other, "ema": meant},
        "`ema` is taken, `model` would fit too",
    ),
    "ema first": (
        lambda meant, other: {"state_dict_ema": meant, "state_dict": other},
        "`state_dict_ema` is taken",
    ),
    "params_ema": (
        lambda meant, other: {"params": other, "params_ema": meant},
        "`params_ema` is taken",
    ),
    "nested": (
        lambda meant, other: {"model": _under("module.", other), "ema": {"module": meant}},
        "`ema.module` is taken, `model.module` would fit too",
    ),
    "one mapping": (
        lambda meant, other: {**_under("model.", other), **_under("ema_model.module.", meant)},
        "`ema_model.module` is taken, `model` would fit too",
    ),
    "model beside an older one": (
        lambda meant, other: {"best": other, "model": meant},
        "`model` is taken, `best` would fit too",
    ),
    "a loss beside": (
        lambda meant, _: {"state_dict": {**_under("model.", meant), "loss.weight": torch.ones(3)}},
        "1 tensors beside it are not",
    ),
    "an average of weights": (
        lambda meant, _: {"n_averaged": torch.tensor(3), **_under("module.", meant)},
        "`module` is taken, 1 tensors",
    ),
}


@pytest.mark.parametrize("how", SEVERAL)
def test_of_several_that_fit_the_one_that_people_ship_is_taken_and_named(
    how: str, tmp_path: Path
) -> None:
    make, told = SEVERAL[how]
    meant = _state(seed=1)
    found, words = _loaded(make(meant, _state(seed=2)), tmp_path)
    _assert_equal(found, meant)
    assert told in words


@pytest.mark.parametrize(
    ("first", "second"), [("student", "teacher"), ("ema_fast", "ema_slow"), ("model", "module")]
)
def test_of_two_that_fit_alike_none_is_taken(first: str, second: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"holds 2 \(`{first}`, `{second}`\).*save the state"):
        _loaded({first: _state(seed=1), second: _state(seed=2)}, tmp_path)


def test_which_wrapper_is_meant_is_told_by_names_and_shapes(tmp_path: Path) -> None:
    state = _state()
    found, words = _loaded({"model": _state(_plain), "ema": _state(_plain), "x": state}, tmp_path)
    _assert_equal(found, state)
    assert words == ""


@given(data=st.data())
def test_other_names_in_the_same_order_load_the_same_tensors(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make = data.draw(st.sampled_from(MODULES))
    state = _state(make)
    names = data.draw(
        st.lists(
            st.text(st.characters(categories=("L", "N")), min_size=1).map(
                lambda text: f"-{text}"  # none of the module's own
            ),
            min_size=len(state),
            max_size=len(state),
            unique=True,
        )
    )
    counters = {n for n, (_, t) in zip(names, state.items(), strict=True) if not t.ndim}
    kept = [name for name in names if name not in counters]
    assume(kept != sorted(kept))
    renamed = dict(zip(names, state.values(), strict=True))
    found, words = _loaded(renamed, tmp_path_factory.mktemp("renamed"), make)
    _assert_equal(found, {name: value for name, value in state.items() if value.ndim})
    assert words == f"names differ; {len(kept)} tensors matched by order and shape"


def _renamed(state: State) -> State:
    """As another program calls a network's layers, in the same order."""
    return {f"features.layer_{name}": value for name, value in state.items()}


def test_the_ema_is_taken_by_order_too(tmp_path: Path) -> None:
    meant = _state(seed=1)
    content = {"model": _renamed(_state(seed=2)), "ema": _renamed(meant)}
    found, words = _loaded(content, tmp_path)
    _assert_equal(found, meant)
    assert "matched by order" in words
    assert "`ema` is taken" in words


def test_files_without_counters_match_by_order(tmp_path: Path) -> None:
    state = {n: v for n, v in _state().items() if v.ndim}
    found, _ = _loaded(_renamed(state), tmp_path)
    _assert_equal(found, state)


def test_two_equal_shapes_the_other_way_round_cannot_be_told(tmp_path: Path) -> None:
    """What the docstring of `find_fit` says; names that the module knows are what helps."""
    state = _state(_plain)
    swapped = {"b.weight": state["1.weight"], "b.bias": state["1.bias"]}
    swapped |= {"a.weight": state["0.weight"], "a.bias": state["0.bias"]}
    swapped["c.weight"] = state["2.weight"]
    found, words = _loaded(swapped, tmp_path, _plain)
    assert torch.equal(found["0.weight"], state["1.weight"])
    assert "matched by order" in words


def _in_order(state: State, *names: str) -> State:
    """These tensors first, then the rest."""
    return {name: state[name] for name in (*names, *state)}


def _second_first(prefix: str = "") -> State:
    """A network whose first two layers another program lists the other way round."""
    state = _state(_plain)
    state["head.weight"] = state.pop("2.weight")
    return _under(prefix, _in_order(state, "1.weight", "1.bias"))


AGAINST: dict[str, tuple[Callable[[], State], Callable[[], nn.Module], str]] = {
    "sorted names": (
        lambda: dict(sorted(_renamed(_state()).items())),
        _small,
        "sorted by name, and only torch.save keeps a network's order",
    ),
    "a shape": (
        lambda: _renamed(_in_order(_state(), "0.bias")),
        _small,
        r"`features.layer_0.bias` \(4,\) stands where the model has `0.weight` \(4, 3, 3, 3\)",
    ),
    "what torch calls it": (
        lambda: _renamed(_in_order(_state(), "0.weight", "0.bias", "1.bias")),
        _small,
        "`features.layer_1.bias` .* stands where the model has `1.weight`",
    ),
    "a name that the module knows": (
        _second_first,
        _plain,
        "`1.weight` .* stands where the model has `0.weight`",
    ),
    "the same after a prefix": (
        lambda: _second_first("module."),
        _plain,
        "`1.weight` .* stands where the model has `0.weight`",
    ),
    "a layer in two": (
        lambda: {("a.bias" if n == "1.bias" else f"layer_{n}"): v for n, v in _state().items()},
        _small,
        "tensors of one layer would come to several",
    ),
}


@pytest.mark.parametrize("what", AGAINST)
def test_an_order_that_something_speaks_against_is_refused(what: str, tmp_path: Path) -> None:
    content, make, why = AGAINST[what]
    with pytest.raises(InputError, match=why) as caught:
        _loaded(content(), tmp_path, make)
    assert "missing" in str(caught.value)


def test_safetensors_keep_no_order_to_match_by(tmp_path: Path) -> None:
    state = {n: v.half() if n.startswith("4") else v for n, v in _renamed(_state()).items()}
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"only torch\.save keeps a network's order"):
        load_weights(_small(), tmp_path / "w.safetensors")


def test_names_of_a_few_layers_after_a_prefix_are_no_prefix_of_the_network(tmp_path: Path) -> None:
    state = {f"part_{at % 3}.{name}": v for at, (name, v) in enumerate(_state().items())}
    with pytest.raises(InputError, match=r"12 missing .* 15 too many \(part_0.0.weight"):
        _loaded(state | {"one.more": torch.ones(1)}, tmp_path)


def test_names_that_are_the_modules_are_never_matched_by_order(tmp_path: Path) -> None:
    state = _state()
    shifted = dict(zip(state, [*list(state.values())[1:], state["0.weight"]], strict=True))
    with pytest.raises(InputError, match="of another shape"):
        _loaded(shifted, tmp_path)
