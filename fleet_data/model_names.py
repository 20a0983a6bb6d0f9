"""What a model is called: `resnet50`, `resnet50@3x288x288`, `package.module:factory`, `net.pt2`.

A network of several inputs has them by the names that its `forward` gives them:
`package.module:pair@image=3x64x64,speed=4`.

The name is all that telemetry, the database, bundles and checkpoints keep of a model. So an input
of another shape is part of it: `resnet50@3x288x288` has 1.65 times the FLOPs of `resnet50`, and is
another model wherever a model is named. Every command line reads this: nothing heavy is imported.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hdap.fleet_data.errors import InputError

AT = "@"
MOST_DIMENSIONS = 4
"""Of an input without its batch."""
PROGRAM = ".pt2"
Kind = Literal["timm", "factory", "program"]
"""A timm name, `package.module:factory`, or a file of torch.export; all but the first are code."""
MOST_NUMBERS = 2**31 - 1
"""Numbers that one input may hold."""
_ONE = rf"[1-9][0-9]{{0,9}}(?:x[1-9][0-9]{{0,9}}){{0,{MOST_DIMENSIONS - 1}}}"
_NAMED = rf"[A-Za-z_][A-Za-z0-9_]{{0,63}}={_ONE}"
_SHAPE = re.compile(rf"{_ONE}|{_NAMED}(?:,{_NAMED})*")

Sizes = tuple[int, ...]
InputSizes = Sizes | dict[str, Sizes]
"""Sizes of a model's input without the batch; of several, by `forward`'s names for them."""


@dataclass(frozen=True)
class ModelName:
    """A name taken apart: `base` is what is loaded, `shape` the input where the name says one."""

    base: str
    shape: InputSizes | None = None

    @property
    def kind(self) -> Kind:
        """What `base` is."""
        return kind_of_model(self.base)

    def __str__(self) -> str:
        return self.base if self.shape is None else f"{self.base}{AT}{written(self.shape)}"


def model_name(text: str) -> ModelName:
    """A model's name taken apart. Raises `InputError` where what follows `@` is no shape."""
    base, _, size = text.rpartition(AT)
    if not base or text.endswith(PROGRAM):
        return ModelName(text)
    try:
        return ModelName(base, input_sizes(size))
    except ValueError as error:
        raise InputError(
            f"what follows {AT} in the name of a model must be {error}; its own input needs no {AT}"
        ) from error


def base_name(text: str) -> str:
    """A model's name without its input, and any other text as it is."""
    base, _, size = text.rpartition(AT)
    return base if base and _SHAPE.fullmatch(size) else text


def kind_of_model(text: str) -> Kind:
    """What a name is of, whatever the input it says."""
    if text.endswith(PROGRAM):
        return "program"
    return "factory" if ":" in text else "timm"


def input_sizes(text: str) -> InputSizes:
    """`3x288x288` or `16000` as sizes without the batch; several as `image=3x64x64,speed=4`.

    There is one way to write a shape, so that no model has two names: several stand in the order of
    their names. Raises ValueError for text that is none.
    """
    if not _SHAPE.fullmatch(text):
        raise ValueError(_wanted(text))
    if "=" not in text:
        return _sizes(text, text)
    parts = [part.partition("=") for part in text.split(",")]
    names = [name for name, _, _ in parts]
    if names != sorted(set(names)):
        raise ValueError(f"inputs in the order of their names, each once, not {text[:60]!r}")
    return {name: _sizes(sizes, text) for name, _, sizes in parts}


def _sizes(part: str, text: str) -> Sizes:
    sizes = tuple(map(int, part.split("x")))
    if math.prod(sizes) > MOST_NUMBERS:
        raise ValueError(_wanted(text))
    return sizes


def _wanted(text: str) -> str:
    return (
        f"an input without its batch, 1 to {MOST_DIMENSIONS} sizes such as 3x288x288 or "
        f"1x16000, or several as image=3x64x64,speed=4, not {text[:60]!r}"
    )


def written(shape: Sizes | Mapping[str, Sizes]) -> str:
    """`3x288x288`, and several as `image=3x64x64,speed=4`."""
    if isinstance(shape, Mapping):
        return ",".join(f"{name}={written(shape[name])}" for name in sorted(shape))
    return "x".join(map(str, shape))


def with_input(model: str, shape: InputSizes | None) -> str:
    """The name of a model at an input of `shape`; as it is for None.

    Raises `InputError` for a name that says another input, and for a program, which has its own.
    """
    if shape is None:
        return model
    name = model_name(model)
    if name.kind == "program":
        raise InputError(
            f"`--input` is for models that are made anew, but {model} was exported for one input; "
            "export it again at another"
        )
    if name.shape not in (None, shape):
        raise InputError(
            f"`--input` must be what the model's name says, but got {written(shape)} for {model}; "
            "leave one out"
        )
    return str(ModelName(name.base, shape))
