"""The torch-free description of a model: layers, width groups and shapes.

The tracer that makes one from a torch model is `hdap.networks.tracing`; what follows from one
(FLOPs, parameters, features) is in `hdap.surrogate`.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.documents import Positive, from_plain, parse_json
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.fleet_data.model_names import MOST_DIMENSIONS, written

Counts = NDArray[np.int64]
"""Channel counts, `n x groups` or `groups`; one row a configuration."""

InputShape = Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1, max_length=MOST_DIMENSIONS)]
"""Sizes of one input without the batch: 3 x 224 x 224 for an image, 1 x 16000 for sound."""

InputShapes = InputShape | Annotated[dict[str, InputShape], msgspec.Meta(min_length=1)]
"""What a network takes: one input, or several by the names of `forward`'s arguments."""

CountedAs = Literal["conv", "linear", "norm", "held"]
"""What a layer's parameters and FLOPs follow from: `conv` a weight for each pair of channels and
place of the kernel, `linear` one for each pair, `norm` numbers by channel alone and no FLOPs;
`held` is a tensor that the network's own code holds, by pairs of channels, and no FLOPs."""


@dataclass(frozen=True, slots=True)
class WidthGroup:
    """Layers that must share one channel count.

    `name` is the first convolution in module order, `members` all layers (convolutions and linear
    layers, module order) whose output has this count, `width` the dense count. A count must be a
    multiple of `multiple` (grouped convolutions keep their number of groups) and at least that.
    """

    name: str
    width: int
    members: tuple[str, ...]
    multiple: int = 1


@dataclass(frozen=True, slots=True)
class Channels:
    """A channel count as `constant + sum(factor * count[group])`; `terms` holds (group, factor)."""

    constant: int = 0
    terms: tuple[tuple[int, int], ...] = ()

    def of(self, counts: Counts) -> Counts:
        """Channels for each configuration: `n x groups` -> `n`."""
        result = np.full(counts.shape[0], self.constant, dtype=np.int64)
        for group, factor in self.terms:
            result += factor * counts[:, group]
        return result


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution, linear layer or normalisation, in module order.

    `groups` is the fixed number of groups of a convolution; a `depthwise` one has as many groups as
    input channels, whatever they are. `input_size` and `output_size` are (height, width); a linear
    layer applied at p positions has output size (1, p). `parameters_per_output` counts what grows
    with the output channels beside the weight matrix: 1 for a bias, 2 for an affine norm.
    A `transposed` convolution applies its kernel at every place of its input. `weights` is false
    where the matrix is no parameter of this layer: a product of two images, a further use of a
    layer (`head#2`), a weight that is computed.
    """

    name: str
    kind: CountedAs
    inputs: Channels
    outputs: Channels
    input_size: tuple[int, int]
    output_size: tuple[int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    groups: int = 1
    depthwise: bool = False
    parameters_per_output: int = 0
    transposed: bool = False
    weights: bool = True

    @property
    def has_matrix(self) -> bool:
        """Whether it multiplies, pair by pair of channels."""
        return self.kind in {"conv", "linear"}

    @property
    def computes(self) -> bool:
        """Whether it multiplies anywhere; a layer of boxes does not where there are none."""
        return self.has_matrix and self.applied_at > 0

    @property
    def matrix_parameters(self) -> int:
        """Parameters for each pair of channels."""
        return (self.kind != "norm") * self.weights * math.prod(self.kernel)

    @property
    def applied_at(self) -> int:
        """Places at which the matrix is applied."""
        return math.prod(self.input_size if self.transposed else self.output_size)


@dataclass(frozen=True, slots=True)
class KeptChannels:
    """`channels` outputs of a layer that always stay; `why` ends the sentence "`layer` ..."."""

    layer: str
    channels: int
    why: str


@dataclass(frozen=True)
class Architecture:
    """A model as data. `other_parameters` are those that no width group moves; `kept` says for
    people which channels are in no group."""

    model: str
    input_shape: InputShapes
    groups: tuple[WidthGroup, ...]
    layers: tuple[Layer, ...]
    other_parameters: int = 0
    kept: tuple[KeptChannels, ...] = ()

    def __hash__(self) -> int:
        # Costs are cached by architecture: hashing a hundred layers at each call would show.
        return hash(self.digest)

    def one_input(self, who: str) -> InputShape:
        """The shape of the only input, which is all that `who` can give a network.

        Raises `UnsupportedModelError` for a network of several inputs.
        """
        return one_input(self.input_shape, self.model, who)

    @cached_property
    def widths(self) -> Counts:
        """Dense channel counts, `groups`."""
        return np.array([g.width for g in self.groups], dtype=np.int64)

    @cached_property
    def multiples(self) -> Counts:
        """What each count must be a multiple of, `groups`."""
        return np.array([g.multiple for g in self.groups], dtype=np.int64)

    @cached_property
    def index(self) -> dict[str, int]:
        """Group index by group name and by the name of any member."""
        found = {m: i for i, g in enumerate(self.groups) for m in g.members}
        return found | {g.name: i for i, g in enumerate(self.groups)}

    def to_json(self) -> str:
        """Compact JSON; `from_json` reads it back to an equal object."""
        return self._json("kept") if self.kept else self._json()

    def _json(self, *also: str) -> str:
        # Fields that came later are left out where they say nothing: digests must not change.
        plain = asdict(self)
        if "kept" not in also:
            del plain["kept"]
        for layer in plain["layers"]:
            if not layer["transposed"]:
                del layer["transposed"]
            if layer["weights"]:
                del layer["weights"]
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """Inverse of `to_json`. Raises `InputError` for what it did not write."""
        what, remedy = "the description of a network", "trace it again: hdap model NAME"
        return from_plain(parse_json(text.encode(), what, remedy), cls, what, remedy)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the JSON but for `kept`: models of one digest share surrogates and trials."""
        return hashlib.sha256(self._json().encode()).hexdigest()


def one_input(shape: InputShapes, model: str, who: str) -> InputShape:
    """The shape of the only input of `model`, which is all that `who` can give a network.

    Raises `UnsupportedModelError` for several.
    """
    if isinstance(shape, dict):
        raise UnsupportedModelError(
            f"{who} needs a network of one input, but {model} takes {written(shape)}; wrap it in a "
            "factory whose forward makes them of one tensor"
        )
    return shape


def numbers_of(shape: InputShapes) -> int:
    """How many numbers all inputs of a network hold, batch 1."""
    each = shape.values() if isinstance(shape, dict) else [shape]
    return sum(math.prod(sizes) for sizes in each)
