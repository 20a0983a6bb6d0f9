"""The contract of a kind of torch layer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hdap.fleet_data.architecture import CountedAs, Layer
from hdap.networks.layer_kinds.known_inputs import Propagated

Indices = NDArray[np.int64]


class LayerKind(ABC):
    """All that hdap knows of one kind of layer with parameters by channel.

    Tracing, counting, surgery, importance, elastic networks and constant propagation ask the kind
    of each layer (`registry.kind_of`) and never its class. A kind is stateless. Its layers

    - take and give one tensor whose channels lie along `channel_dim`;
    - hold `tensors`, whose dimension `output_dim` lies along the output channels. A kind with a
      matrix calls it `weight`: outputs x inputs of a block x kernel;
    - give as many channels as they take, one for one, unless they have a matrix.

    What this class answers is true of a layer with one number a channel, which acts on each channel
    alone, such as a scale. Each kind says what is different, and `tests/contracts` hold every
    registered kind to it: traced, counted, pruned and sliced.
    """

    modules: ClassVar[tuple[type[nn.Module], ...]]
    """Classes of its layers. A layer is of the kind that lists the nearest of its base classes."""

    counted_as: ClassVar[CountedAs] = "norm"
    """What it is in an `Architecture`: there FLOPs, parameters and latency features follow."""

    tensors: ClassVar[tuple[str, ...]] = ("weight", "bias")
    """Parameters and buffers along the channels. A layer may lack some, but may have no others."""

    output_dim: ClassVar[int] = 0
    """The dimension of `tensors` along the output channels."""

    width: ClassVar[str] = ""
    """The attribute in which a layer without a matrix keeps its number of channels, if it does."""

    opaque: ClassVar[bool] = False
    """Whether its operations are not followed: it is known that channels go through one for one."""

    functions: ClassVar[Mapping[Callable[..., Any], Sequence[str]]] = {}
    """Torch functions that `propagate` takes the place of, and the names of their arguments."""

    @property
    def has_matrix(self) -> bool:
        """Whether weights join pairs of channels; else all it holds is by channel."""
        return self.counted_as != "norm"

    @abstractmethod
    def examples(self, channels: int) -> tuple[nn.Module, ...]:
        """Small layers that take and give so many channels (a multiple of 4), for tests."""

    # Tracing and counting

    def refusal(self, layer: nn.Module) -> str:
        """Why elastic networks and portfolios cannot have this layer; empty where they can."""
        return ""

    def has_channels(self, layer: nn.Module) -> bool:
        """Whether the layer's own tensors follow the channels that pass through it."""
        return True

    def channels(self, layer: nn.Module) -> tuple[int, int]:
        """Input and output channels that the layer has now."""
        count: int = getattr(layer, self.width) if self.width else len(_first(layer, self.tensors))
        return count, count

    def same_channels(self, layer: nn.Module) -> bool:
        """Whether the layer's inputs are its outputs: if one goes, so does the other."""
        return not self.has_matrix

    def blocks(self, layer: nn.Module) -> int:
        """Equal blocks that the channels form and that must stay: each loses the same places."""
        return 1

    def channel_dim(self, layer: nn.Module, images: Tensor) -> int:
        """The dimension of the layer's input or output along the channels, 1 or -1."""
        return 1

    def size(self, layer: nn.Module, images: Tensor) -> tuple[int, int]:
        """(height, width) of an input or output; (1, positions) where there is no image."""
        dim = self.channel_dim(layer, images)
        if images.dim() == 4 and dim == 1:
            return images.shape[2], images.shape[3]
        return 1, images.numel() // images.shape[dim]

    def record(self, layer: nn.Module, common: Layer) -> Layer:
        """`common` with what only this kind has in an architecture: kernel, stride, groups."""
        return common

    def mixes(self, layer: nn.Module) -> bool:
        """Whether what a channel becomes depends on others, as through a mean over several.

        The proof of surgery leaves that out and applies `weight` and `bias` alone: what is taken
        over the channels that are there changes when some go.
        """
        return False

    # Surgery and elastic networks

    def attributes(self, layer: nn.Module, inputs: int | None, outputs: int) -> dict[str, Any]:
        """Attributes by which a layer with so many channels knows their number.

        `inputs` is None for a layer whose inputs are its outputs.
        """
        return {self.width: outputs} if self.width else {}

    def attributes_after(
        self, layer: nn.Module, inputs: int | None, outputs: int
    ) -> dict[str, Any]:
        """`attributes` of a layer that loses channels, asked while it still has them."""
        return self.attributes(layer, inputs, outputs)

    # Importance

    def by_output(self, layer: nn.Module, weight: Tensor) -> Tensor:
        """A tensor of the shape of the layer's weight as outputs x all that makes one."""
        return weight.flatten(1)

    def by_input(self, layer: nn.Module, weight: Tensor) -> Tensor:
        """A tensor of the shape of the layer's weight as inputs x all that reads one."""
        return weight.transpose(0, 1).flatten(1)

    def energy_gain(self, layer: nn.Module) -> Tensor | float:
        """What the layer multiplies the energy (squares) of each channel by, as far as is known."""
        return 1.0

    def scale(self, layer: nn.Module) -> Tensor | None:
        """Trained factors, one a channel, that say how much each matters; None if it has none."""
        return None

    def output_variance(self, layer: nn.Module) -> Tensor | None:
        """How much each channel varies behind the layer, in float64; None where it does not say."""
        scale = self.scale(layer)
        return None if scale is None else scale.detach().double().square()

    # Constants

    def called_by(self, layer: nn.Module) -> Tensor | None:
        """The tensor by which a call of `functions` is known to be this layer's."""
        return None

    def propagate(self, func: Callable[..., Any], call: dict[str, Any]) -> Propagated:
        """What `func`, one of `functions`, makes of an image that is NaN where it is not known.

        `call` holds the arguments by name. Without `functions` a layer is run as it is: arithmetic
        passes NaNs on, and what comes out as a number is that number for every image.
        """
        raise NotImplementedError

    def absorbs(self, layer: nn.Module) -> bool:
        """Whether a constant that a matrix makes can become a part of this layer."""
        return self.has_matrix and layer.bias is not None

    def absorb(self, layer: nn.Module, shift: Tensor) -> None:
        """Add constants, one an output, in place: to the bias."""
        bias = layer.get_parameter("bias")
        replace_tensor(layer, "bias", (bias + shift).to(bias.dtype))


def replace_tensor(layer: nn.Module, name: str, value: Tensor) -> None:
    """Put `value` in place of a parameter, trained if that was, or of a buffer."""
    before = getattr(layer, name)
    if isinstance(before, nn.Parameter):
        value = nn.Parameter(value.detach(), before.requires_grad)
    setattr(layer, name, value)


def _first(layer: nn.Module, names: Sequence[str]) -> Tensor:
    found: Tensor = next(t for t in (getattr(layer, n, None) for n in names) if t is not None)
    return found
