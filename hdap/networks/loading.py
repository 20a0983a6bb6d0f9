"""Getting a network by name: a timm model, or a factory in the user's own code."""

import difflib
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from torch import nn

from hdap.fleet_data.errors import HdapError, InputError, NotFoundError
from hdap.networks.factories import find_factory, in_a_line, working_directory_importable
from hdap.networks.forward_pass import quiet
from hdap.networks.same_tensors import twin_words
from hdap.networks.weights import load_weights

DEFAULT_INPUT_SHAPE = (3, 224, 224)
_log = logging.getLogger("hdap")


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode and the shape (channels, height, width) of the image it takes.

    `told` is what a person should know of how weights from a file came to fit; mostly nothing.
    """

    module: nn.Module
    input_shape: tuple[int, int, int]
    told: str = ""


def load_model(
    name: str,
    *,
    weights: Path | None = None,
    pretrained: bool = False,
    device: Literal["cpu", "meta"] = "cpu",
) -> LoadedModel:
    """The network called `name`: a timm name, or `package.module:factory`.

    A factory is a callable without arguments that returns an `nn.Module`; it is user code and runs
    only here. Module or factory may carry `input_shape`, else it is `DEFAULT_INPUT_SHAPE`; timm
    models have their own. On `meta` the network has shapes but no numbers, so it is made in no time
    and takes no weights. What is told of weights from a file (`told`) is also logged as a warning.

    Raises `NotFoundError` for a name timm does not know (with the nearest that it does) and
    `InputError` for a factory or for weights that do not work.
    """
    if weights is not None and pretrained:
        raise InputError("weights come from a file or from timm, but both were asked for; drop one")
    if device == "meta" and (weights is not None or pretrained):
        raise InputError(f"weights need a device that holds numbers, but got {device=}; use 'cpu'")
    # only the user's code may come from the working directory: no `yaml.py` in it
    mine = working_directory_importable() if ":" in name else nullcontext()
    with quiet(), mine:
        build, owner = _factory(name, pretrained) if ":" in name else _timm(name, pretrained)
        module = _built(build, device)
        if not isinstance(module, nn.Module):
            raise InputError(
                f"`{name}` must return a torch.nn.Module, but returned {type(module).__name__}"
            )
        if next(module.parameters(), None) is None:
            raise InputError(f"`{name}` must return a network with parameters, but it has none")
        told = "" if weights is None else _filled(name, module, weights)
    if weights is not None and told:
        _log.warning("%s: %s", weights.name, told)
    return LoadedModel(module.to(device).eval(), input_shape_of(name, module, owner), told)


def nearest_names(name: str) -> tuple[str, ...]:
    """Up to three timm names that look like `name`, best first; empty when none does."""
    return tuple(difflib.get_close_matches(name.lower(), timm.list_models(), n=3, cutoff=0.6))


def _filled(name: str, module: nn.Module, weights: Path) -> str:
    fit = load_weights(module, weights)
    twin = twin_words(name, module) if fit.by_order else ""
    return "; ".join(filter(None, (fit.words, twin)))


def _timm(name: str, pretrained: bool) -> tuple[Callable[[], Any], object]:
    if not timm.is_model(name):
        near = ", ".join(f"`{n}`" for n in nearest_names(name)) or "none is near"
        raise NotFoundError(
            f"a model is a timm name or `package.module:factory`, but timm has no `{name}`; "
            f"nearest names: {near}"
        )

    def build() -> nn.Module:
        try:
            module: nn.Module = timm.create_model(name, pretrained=pretrained)
        except NotImplementedError:
            raise  # what the meta device cannot do
        except Exception as error:
            remedy = "give a weights file instead" if pretrained else "check the name's tag"
            what = "the pretrained weights of " if pretrained else ""
            raise InputError(
                f"timm must be able to make {what}`{name}`, but failed with {in_a_line(error)}; "
                f"{remedy}"
            ) from error
        return module

    return build, None


def _factory(name: str, pretrained: bool) -> tuple[Callable[[], Any], object]:
    if pretrained:
        raise InputError(
            f"only timm models have pretrained weights, but {name!r} is a factory; "
            "load them in the factory or give a weights file"
        )
    factory = find_factory(name)

    def build() -> Any:
        try:
            return factory()
        except HdapError:
            raise  # it says by itself what must hold
        except Exception as error:
            raise InputError(
                f"`{name}` must return a network when called without arguments, but failed with "
                f"{in_a_line(error)}"
            ) from error

    return build, factory


def _built(build: Callable[[], Any], device: str) -> Any:
    if device == "meta":
        try:
            with torch.device("meta"):
                return build()
        except (InputError, NotImplementedError):
            pass  # code that looks at numbers while it builds: make them, then drop them
    return build()


def input_shape_of(name: str, module: nn.Module, owner: object = None) -> tuple[int, int, int]:
    """The image that a network takes, as it, its factory `owner` or timm says.

    Raises `InputError` when what they say is no shape.
    """
    shape = getattr(module, "input_shape", None) or getattr(owner, "input_shape", None)
    if shape is None:
        known = getattr(module, "pretrained_cfg", None) or {}
        shape = known.get("input_size", DEFAULT_INPUT_SHAPE)
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    if len(sizes) != 3 or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise InputError(
            f"`input_shape` of `{name}` must be (channels, height, width), but got {shape!r}"
        )
    return sizes[0], sizes[1], sizes[2]
