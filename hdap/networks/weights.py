"""Weights from a file: which of its tensors are a module's, by names, else by order and shape."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from hdap.fleet_data.errors import InputError, told
from hdap.networks.weights_file import StateDict, read_states

# What torch calls the tensors of a layer; other programs call theirs as they like.
_ROLES = {"weight", "bias", "running_mean", "running_var"}
# Where a training that kept several networks keeps the one that it trained.
_PLAIN = {"", "model", "module", "net", "network", "params", "state_dict", "model_state_dict"}
_MOST_PARTS = 16
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Fit:
    """Tensors by the module's names, and the keys of the file under which they lie.

    `others` lie beside them. `words` is what a person should know of the choice; may be empty.
    """

    tensors: Mapping[str, Tensor]
    place: str
    others: int = 0
    by_order: bool = False
    words: str = ""


def load_weights(module: nn.Module, path: Path) -> Fit:
    """Fill `module` with the weights in `path` (.safetensors, else a torch file), in place.

    Returns which they were. Raises `InputError` as `read_states` and `find_fit`, and when the
    tensors are of a type that the module's cannot take.
    """
    fit = find_fit(read_states(path), module.state_dict(), path.name)
    try:
        module.load_state_dict(fit.tensors, strict=False)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"{path.name} must hold weights of this model, but {told(error)}"
        ) from error
    return fit


def find_fit(states: Sequence[StateDict], expected: Mapping[str, Tensor], file: str) -> Fit:
    """The tensors that are `expected`, a module's own: each name and shape, no more and no less.

    Names may follow a prefix, any that leaves the module's names (`module.`, `backbone.`). Where no
    names fit, tensors are matched by order: all shapes agree one to one, layers stay whole, a name
    that the module knows stays with it. Two tensors of one shape that another program lists the
    other way round cannot be told so.

    Raises `InputError` when nothing fits, naming the first faults of what is nearest, and when
    several do and it cannot be told which is meant.
    """
    groups = [(state, *group) for state in states for group in _groups(state, expected)]
    named = [
        Fit(part, _place(state, prefix), len(state.tensors) - len(part))
        for state, prefix, part in groups
        if not state_faults(_needed(expected, part), part)
    ]
    if named:
        return _meant(named, file)
    readings = [(part, _ordered(state, part, expected)) for state, _, part in groups]
    if ordered := [fit for _, fit in readings if isinstance(fit, Fit)]:
        return _meant(ordered, file)
    part, by_order = max(readings, key=lambda reading: len(reading[0].keys() & expected.keys()))
    faults = state_faults(_needed(expected, part), part)
    also = f" (by order they do not fit: {by_order})" if by_order else ""
    raise InputError(
        f"{file} must hold exactly the model's {len(expected)} tensors, but has {faults}{also}; "
        "a network with its own head needs a factory"
    )


def state_faults(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, types: bool = False
) -> str:
    """How names and shapes (and `types`) of tensors differ, in words; empty where they do not."""

    def form(tensor: Tensor) -> str:
        return f"{tuple(tensor.shape)} {tensor.dtype}" if types else f"{tuple(tensor.shape)}"

    faults = {
        "missing": [k for k in expected if k not in found],
        "too many": [k for k in found if k not in expected],
        f"of another shape{' or type' * types}": [
            f"{k} {form(found[k])} instead of {form(v)}"
            for k, v in expected.items()
            if k in found and form(found[k]) != form(v)
        ],
    }
    return ", ".join(
        f"{len(names)} {what} ({some(names)})" for what, names in faults.items() if names
    )


def some(names: Sequence[str]) -> str:
    """The first few of many."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _needed(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Counters of batches seen are no weights, and files from before 2018 lack them."""
    return {
        k: v for k, v in expected.items() if k in found or not k.endswith("num_batches_tracked")
    }


def _groups(
    state: StateDict, expected: Mapping[str, Tensor]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Prefixes after which all of the expected names follow, else the best, with what follows."""
    hits = Counter(
        prefix
        for name in state.tensors
        for prefix in _prefixes(name)
        if name[len(prefix) :] in expected
    )
    enough = len(_needed(expected, {}))
    whole = [prefix for prefix, count in hits.items() if count >= enough]
    best = max(hits, key=lambda prefix: hits[prefix], default="")
    # names such as `norm.weight` follow many a prefix: a few of them say nothing
    wanted = whole or [best if 2 * hits[best] > enough else ""]
    parts: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in wanted}
    for name, tensor in state.tensors.items():
        for prefix in _prefixes(name):
            if prefix in parts:
                parts[prefix][name[len(prefix) :]] = tensor
    yield from parts.items()


def _prefixes(name: str) -> Iterator[str]:
    """What may stand before a name, the shortest first; names of files may be absurd."""
    parts = name.split(".", _MOST_PARTS)
    for count in range(len(parts)):
        yield "".join(f"{part}." for part in parts[:count])


def _place(state: StateDict, prefix: str = "") -> str:
    return ".".join((*state.place, *([prefix.removesuffix(".")] if prefix else [])))


def _meant(fits: Sequence[Fit], file: str) -> Fit:
    """The one that people ship: the average over the training (EMA), else the plain model."""
    averaged = [fit for fit in fits if "ema" in re.split(r"[._]", fit.place.lower())]
    plain = [fit for fit in fits if all(part in _PLAIN for part in fit.place.split("."))]
    chosen = fits if len(fits) == 1 else averaged or plain
    if len(chosen) != 1:
        places = [f"`{fit.place}`" for fit in fits]
        raise InputError(
            f"{file} must hold one network of this kind, but holds {len(fits)} ({some(places)}) "
            "and none is the EMA or the model by its name; save the state dict that you mean alone"
        )
    fit = chosen[0]
    rest = [f"`{other.place}`" for other in fits if other is not fit]
    words = [fit.words] if fit.words else []
    if rest:
        words.append(f"`{fit.place}` is taken, {some(rest)} would fit too")
    if fit.others:
        words.append(f"`{fit.place}` is taken, {fit.others} tensors beside it are not")
    return replace(fit, words="; ".join(words))


def _ordered(
    state: StateDict, part: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> Fit | str:
    """The tensors matched by order, or what speaks against it; empty where their number does.

    `part` are those that follow a prefix; names are compared without it where all have it.
    """
    tensors = part if len(part) == len(state.tensors) else state.tensors
    mine, theirs = _without_counters(expected), _without_counters(tensors)
    if len(mine) != len(theirs) or mine.keys() == theirs.keys():
        return ""
    if not state.ordered or (len(theirs) > 1 and list(theirs) == sorted(theirs)):
        return "they are sorted by name, and only torch.save keeps a network's order"
    pairs = list(zip(theirs, mine, strict=True))
    if against := _contradiction(pairs, theirs, mine):
        return against
    return Fit(
        {own: theirs[name] for name, own in pairs},
        _place(state),
        by_order=True,
        words=f"names differ; {len(pairs)} tensors matched by order and shape",
    )


def _without_counters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor
        for name, tensor in tensors.items()
        if tensor.ndim or tensor.is_floating_point()
    }


def _contradiction(
    pairs: Sequence[tuple[str, str]], theirs: Mapping[str, Tensor], mine: Mapping[str, Tensor]
) -> str:
    """What names or shapes say against pairs of a file's tensor and the module's; may be empty."""
    by_name = [name for name in theirs if name in mine]
    fits = all(theirs[name].shape == mine[name].shape for name in by_name)
    layers = set()
    for name, own in pairs:
        (layer, _, role), (own_layer, _, own_role) = name.rpartition("."), own.rpartition(".")
        told = f"`{name}` {tuple(theirs[name].shape)} stands where the model has `{own}`"
        if theirs[name].shape != mine[own].shape:
            return f"{told} {tuple(mine[own].shape)}"
        roles = _ROLES & {role, own_role}
        if (len(roles) == 2) or (fits and name in mine and name != own):
            return told
        if roles and role == own_role:
            layers.add((layer, own_layer))
    if len({layer for layer, _ in layers}) == len({own for _, own in layers}) == len(layers):
        return ""
    return "tensors of one layer would come to several"
