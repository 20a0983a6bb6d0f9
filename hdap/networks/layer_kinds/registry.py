"""The kinds of layers by name. A new one is a file beside this one and a line in `KINDS`."""

from hdap.fleet_data.plugins import Registry
from hdap.networks.layer_kinds.base import LayerKind
from hdap.networks.layer_kinds.batch_norm import BatchNormKind
from hdap.networks.layer_kinds.convolution import ConvolutionKind
from hdap.networks.layer_kinds.group_norm import GroupNormKind
from hdap.networks.layer_kinds.instance_norm import InstanceNormKind
from hdap.networks.layer_kinds.layer_norm import LayerNormKind
from hdap.networks.layer_kinds.linear import LinearKind
from hdap.networks.layer_kinds.prelu import PReLUKind
from hdap.networks.layer_kinds.response_norm import ResponseNormKind
from hdap.networks.layer_kinds.rms_norm import RMSNormKind

KINDS: Registry[LayerKind] = Registry(
    "the layer kind",
    "layer_kinds",
    {
        "convolution": ConvolutionKind(),
        "linear": LinearKind(),
        "batch_norm": BatchNormKind(),
        "instance_norm": InstanceNormKind(),
        "group_norm": GroupNormKind(),
        "layer_norm": LayerNormKind(),
        "rms_norm": RMSNormKind(),
        "response_norm": ResponseNormKind(),
        "prelu": PReLUKind(),
    },
)


def find_kind(layer: object) -> LayerKind | None:
    """The kind of a layer; None for what has no parameters by channel or is not known."""
    kinds = list(KINDS.values())
    for base in type(layer).__mro__:
        for kind in kinds:
            if base in kind.modules:
                return kind
    return None


def kind_of(layer: object) -> LayerKind:
    """The kind of a layer that has one. Raises `TypeError` for any other."""
    kind = find_kind(layer)
    if kind is None:
        raise TypeError(f"not a layer of a known kind: {type(layer).__name__}")
    return kind
