"""Weights from a file, without executing what is in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import InputError

# Training scripts wrap the state dict under one of these, and compilers prefix its keys.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "state_dict_ema")
_PREFIXES = ("module.", "_orig_mod.", "model.")
_SHOWN = 3


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill `module` with the state dict in `path` (.safetensors, else a torch file), in place.

    Nothing in the file is executed. Weights may be masked as torch.nn.utils.prune keeps them
    (`weight_orig`, `weight_mask`). Raises `InputError` when it cannot be read or when its names or
    shapes are not exactly those of the module, naming the first few.
    """
    found = _clean(_masked(read_state(path), path), module)
    expected = module.state_dict()
    # Counters of batches seen are no weights, and files from before 2018 lack them.
    needed = {
        k: v for k, v in expected.items() if k in found or not k.endswith("num_batches_tracked")
    }
    faults = state_faults(needed, found)
    if faults:
        raise InputError(
            f"{path.name} must hold exactly the model's {len(expected)} tensors, but has "
            f"{faults}; a network with its own head needs a factory"
        )
    try:
        module.load_state_dict(found, strict=False)
    except (RuntimeError, TypeError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{path.name} must hold weights of this model, but {why}") from error


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


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name in a `.safetensors` or torch file. Raises `InputError` when unreadable."""
    if not path.is_file():
        raise InputError(f"a weights file must exist, but there is no file {path}")
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path.name} must be a safetensors file or a torch file of tensors alone, but reading "
            f"it failed with {type(error).__name__}; save `model.state_dict()`"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()
    ):
        raise InputError(
            f"{path.name} must map names to tensors, but holds a {type(content).__name__} of other "
            "things; save `model.state_dict()`"
        )
    for name, tensor in content.items():
        if tensor.is_meta or tensor.is_quantized or tensor.layout is not torch.strided:
            what = "meta" if tensor.is_meta else "quantized" if tensor.is_quantized else "sparse"
            raise InputError(
                f"{path.name} must hold dense tensors of numbers, but `{name}` is {what}; "
                "save `model.state_dict()` of a network in float32"
            )
    return content


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


def _clean(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    expected = module.state_dict().keys()
    for prefix in _PREFIXES:
        if state and all(k.startswith(prefix) for k in state) and state.keys() - expected:
            state = {k.removeprefix(prefix): v for k, v in state.items()}
    return dict(state)


def some(names: Sequence[str]) -> str:
    """The first few of many."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
