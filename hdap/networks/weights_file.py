"""What lies in a file of weights, without executing anything of it."""

import argparse
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from hdap.fleet_data.errors import InputError

# A training script nests what it keeps no deeper; a hostile file may.
_DEEPEST = 3
_LONGEST = 300
_MODULES = "torch.nn.modules."
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
# What only such an archive holds, what it is, what opens it and where its tensors are then.
_PROGRAMS = {
    "constants.pkl": ("a TorchScript program", "torch.jit.load", "state_dict()"),
    "models/model.json": ("a torch.export program", "torch.export.load", "state_dict"),
}


@dataclass(frozen=True, eq=False)
class StateDict:
    """Tensors by name as they lie under the keys `place` of a file.

    `ordered` says whether they come in the order in which they were saved.
    """

    place: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    ordered: bool


def read_states(path: Path) -> tuple[StateDict, ...]:
    """Every mapping of names to tensors in a `.safetensors` or torch file, outer ones first.

    What else lies beside (epochs, options, the state of an optimiser) is left alone. Weights that
    are kept beside their masks, as torch.nn.utils.prune does (`weight_orig`, `weight_mask`), come
    masked. Raises `InputError` when the file cannot be read without running code, or holds no
    dense tensors by name; a module, TorchScript and `.pt2` are told from damage.
    """
    if not path.is_file():
        raise InputError(f"a weights file must exist, but there is no file {path}")
    plain = path.suffix == ".safetensors"
    try:
        if plain:
            content: Any = safetensors.torch.load_file(path)
        else:
            # timm and many others keep the options of a training beside; they are plain values
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise _unreadable(path, error) from error
    found = []
    for place, tensors in _mappings(content, (), set()):
        _require_dense(tensors, path)
        # safetensors sorts: in such a file the order of a network is lost
        found.append(StateDict(place, _masked(tensors, path), not plain))
    if not found:
        raise InputError(
            f"{path.name} must map names to tensors, but holds a {type(content).__name__} of other "
            "things; save `model.state_dict()`"
        )
    return tuple(found)


def _mappings(
    content: Any, place: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    if not isinstance(content, Mapping) or id(content) in seen or len(place) > _DEEPEST:
        return
    seen.add(id(content))
    named = {key: value for key, value in content.items() if _is_name(key)}
    if tensors := {key: value for key, value in named.items() if isinstance(value, Tensor)}:
        yield place, tensors
    for key, value in named.items():
        yield from _mappings(value, (*place, key), seen)


def _is_name(key: Any) -> bool:
    """Whether a module could call a tensor so; messages repeat names."""
    return isinstance(key, str) and len(key) <= _LONGEST and key.isprintable()


def _unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file that torch or safetensors does not read, and what to do about it."""
    for mark, (what, load, state) in _PROGRAMS.items():
        if mark in _archived(path):
            return InputError(
                f"{path.name} must hold tensors alone, but holds {what}, which is code; take its "
                f"weights out: torch.save({load}({path.name!r}).{state}, 'weights.pt')"
            )
    code = _GLOBAL.findall(str(error))
    with suppress(Exception):
        code = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    if code:
        whole = any(name.startswith(_MODULES) for name in code)
        what = "a whole pickled module" if whole else f"objects of `{code[0]}`"
        return InputError(
            f"{path.name} must hold tensors alone, but holds {what}, which is code and is not run; "
            "in the program that made it: torch.save(model.state_dict(), 'weights.pt')"
        )
    return InputError(
        f"{path.name} must be a safetensors file or a torch file of tensors alone, but reading "
        f"it failed with {type(error).__name__}; save `model.state_dict()`"
    )


def _archived(path: Path) -> set[str]:
    """Names in a zip archive, below its one folder; none where it is no archive."""
    with suppress(Exception), zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2] for name in archive.namelist()}
    return set()


def _require_dense(tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_meta or tensor.is_quantized or tensor.layout is not torch.strided:
            what = "meta" if tensor.is_meta else "quantized" if tensor.is_quantized else "sparse"
            raise InputError(
                f"{path.name} must hold dense tensors of numbers, but `{name}` is {what}; "
                "save `model.state_dict()` of a network in float32"
            )


def _masked(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Weights that are kept beside their masks, masked."""
    result = dict(state)
    for name, weight in state.items():
        stem, mask = name.removesuffix("_orig"), f"{name.removesuffix('_orig')}_mask"
        if stem == name or mask not in state:
            continue
        if state[mask].shape != weight.shape:
            raise InputError(
                f"{path.name} must hold a mask of the shape of each weight, but `{mask}` is "
                f"{tuple(state[mask].shape)} where the weight is {tuple(weight.shape)}; take the "
                "mask of the same model"
            )
        try:
            result[stem] = result.pop(name) * result.pop(mask)
        except RuntimeError as error:
            raise InputError(
                f"{path.name} must hold masks that multiply, but `{mask}` does not: {error}"
            ) from error
    return result
