"""Getting a network by name: a timm model, a factory in the user's own code, or a program."""

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from torch import nn

from hdap.fleet_data.architecture import InputShape, InputShapes
from hdap.fleet_data.errors import HdapError, InputError, NotFoundError
from hdap.fleet_data.model_names import MOST_DIMENSIONS, ModelName, model_name, written
from hdap.networks.factories import find_factory, in_a_line, working_directory_importable
from hdap.networks.forward_pass import quiet
from hdap.networks.programs import load_program
from hdap.networks.same_tensors import twin_words
from hdap.networks.weights import load_weights

DEFAULT_INPUT_SHAPE = (3, 224, 224)
_log = logging.getLogger("hdap")


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode and the shape of the input it takes, without the batch, or of several.

    `told` is what a person should know of how weights from a file came to fit; mostly nothing.
    """

    module: nn.Module
    input_shape: InputShapes
    told: str = ""


def load_model(
    name: str,
    *,
    weights: Path | None = None,
    pretrained: bool = False,
    device: Literal["cpu", "meta"] = "cpu",
) -> LoadedModel:
    """The network called `name`: a timm name, `package.module:factory`, or a file `network.pt2`.

    A factory is a callable without arguments that returns an `nn.Module`; it is user code and runs
    only here. Module or factory may carry `input_shape` (a mapping by the names of `forward`'s
    arguments for several inputs), else it is `DEFAULT_INPUT_SHAPE`; timm models and programs have
    their own. `name@3x288x288` takes that input instead: timm models that
    are made for one size are made for this. On `meta` the network has shapes but no numbers, so it
    is made in no time and takes no weights. What is told of weights from a file (`told`) is also
    logged as a warning.

    Raises `NotFoundError` for a name timm does not know (with the nearest that it does) and
    `InputError` for a factory, a program, an input or weights that do not work.
    """
    if weights is not None and pretrained:
        raise InputError("weights come from a file or from timm, but both were asked for; drop one")
    if device == "meta" and (weights is not None or pretrained):
        raise InputError(f"weights need a device that holds numbers, but got {device=}; use 'cpu'")
    wanted = model_name(name)
    if pretrained and wanted.kind != "timm":
        raise InputError(
            f"only timm models have pretrained weights, but {name!r} is a {wanted.kind}; "
            "load them in the factory or give a weights file"
        )
    with quiet(), _own_modules(wanted):
        module, shape = _made(wanted, pretrained, device)
        if not isinstance(module, nn.Module):
            raise InputError(
                f"`{name}` must return a torch.nn.Module, but returned {type(module).__name__}"
            )
        if next(module.parameters(), None) is None:
            raise InputError(f"`{name}` must return a network with parameters, but it has none")
        told = "" if weights is None else _filled(name, module, weights)
    if weights is not None and told:
        _log.warning("%s: %s", weights.name, told)
    return LoadedModel(module.to(device).eval(), shape, told)


def nearest_names(name: str) -> tuple[str, ...]:
    """Up to three timm names that look like `name`, best first; empty when none does."""
    return tuple(difflib.get_close_matches(name.lower(), timm.list_models(), n=3, cutoff=0.6))


def input_shape_of(name: str, module: nn.Module, owner: object = None) -> InputShapes:
    """The input or inputs that a network takes, as it, its factory `owner` or timm says.

    Raises `InputError` when what they say is no shape.
    """
    shape = getattr(module, "input_shape", None) or getattr(owner, "input_shape", None)
    if shape is None:
        known = getattr(module, "pretrained_cfg", None) or {}
        shape = known.get("input_size", DEFAULT_INPUT_SHAPE)
    if isinstance(shape, Mapping):
        return {str(argument): _shape(name, shape[argument]) for argument in sorted(shape)}
    return _shape(name, shape)


def _shape(name: str, shape: Any) -> InputShape:
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    whole = all(type(n) is int and n > 0 for n in sizes)
    if not whole or not 1 <= len(sizes) <= MOST_DIMENSIONS:
        raise InputError(
            f"`input_shape` of `{name}` must be 1 to {MOST_DIMENSIONS} sizes without the batch, as "
            f"(channels, height, width), or several of them by name, but got {shape!r}"
        )
    return sizes


def _own_modules(name: ModelName) -> AbstractContextManager[None]:
    """Only the user's code may come from the working directory: no `yaml.py` in it."""
    return working_directory_importable() if name.kind == "factory" else nullcontext()


def _made(name: ModelName, pretrained: bool, device: str) -> tuple[Any, InputShapes]:
    """The network, and the input it takes: what the name says, else what is known of it."""
    if name.kind == "program":
        return load_program(name.base)
    factory = find_factory(name.base) if name.kind == "factory" else None
    build = _timm(name, pretrained) if factory is None else _of_factory(name.base, factory)
    module = _built(build, device)
    return module, name.shape or input_shape_of(name.base, module, factory)


def _filled(name: str, module: nn.Module, weights: Path) -> str:
    fit = load_weights(module, weights)
    twin = twin_words(name, module) if fit.by_order else ""
    return "; ".join(filter(None, (fit.words, twin)))


def _timm(name: ModelName, pretrained: bool) -> Callable[[], Any]:
    base, shape = name.base, name.shape
    if not timm.is_model(base):
        near = ", ".join(f"`{n}`" for n in nearest_names(base)) or "none is near"
        raise NotFoundError(
            f"a model is a timm name, `package.module:factory` or a file network.pt2, but timm has "
            f"no `{base}`; nearest names: {near}"
        )
    if shape is not None and (isinstance(shape, dict) or len(shape) != 3):
        raise InputError(
            f"timm models take images, channels x height x width, but {name} says "
            f"{written(shape)}; give three sizes"
        )

    def build() -> nn.Module:
        try:
            return _of_timm(base, shape, pretrained)
        except NotImplementedError:
            raise  # what the meta device cannot do
        except Exception as error:
            remedy = "check the name's tag" if shape is None else "give another input"
            remedy = "give a weights file instead" if pretrained else remedy
            what = "the pretrained weights of " if pretrained else ""
            raise InputError(
                f"timm must be able to make {what}`{name}`, but failed with {in_a_line(error)}; "
                f"{remedy}"
            ) from error

    return build


def _of_timm(name: str, shape: InputShape | None, pretrained: bool) -> nn.Module:
    make = partial(timm.create_model, name, pretrained=pretrained)
    if shape is not None:
        known = timm.get_pretrained_cfg(name)
        if known is not None and known.input_size[0] != shape[0]:
            make = partial(make, in_chans=shape[0])
        try:
            made: nn.Module = make(img_size=shape[1:])
            return made
        except TypeError as error:
            if "img_size" not in str(error):
                raise  # else it is made for images of any size
    made = make()
    return made


def _of_factory(name: str, factory: Callable[[], Any]) -> Callable[[], Any]:
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

    return build


def _built(build: Callable[[], Any], device: str) -> Any:
    if device == "meta":
        try:
            with torch.device("meta"):
                return build()
        except (InputError, NotImplementedError):
            pass  # code that looks at numbers while it builds: make them, then drop them
    return build()
