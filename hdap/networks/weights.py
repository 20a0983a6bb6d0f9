"""Weights from a file, without executing what is in it."""

from pathlib import Path

from torch import nn

from hdap.fleet_data.errors import InputError
from hdap.networks.weights_file import read_states
from hdap.networks.weights_fit import Fit, find_fit


def load_weights(module: nn.Module, path: Path) -> Fit:
    """Fill `module` with the weights in `path` (.safetensors, else a torch file), in place.

    Returns which they were. Raises `InputError` as `read_states` and `find_fit`, and when the
    tensors are of a type that the module's cannot take.
    """
    fit = find_fit(read_states(path), module.state_dict(), path.name)
    try:
        module.load_state_dict(fit.tensors, strict=False)
    except (RuntimeError, TypeError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{path.name} must hold weights of this model, but {why}") from error
    return fit
