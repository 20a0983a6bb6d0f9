"""Running a network once so that its channels can be followed."""

from torch import nn

from hdap.fleet_data.architecture import InputShapes
from hdap.networks.forward_pass import leaves, plain_attention, quiet, run_once
from hdap.networks.walk.recorder import Walk
from hdap.networks.walk.rules.registry import RULES

OUTPUT = "is the network's output"


def walk(network: nn.Module, input_shape: InputShapes) -> Walk:
    """What every operation of one run on zeros says of the channels; `network` is not changed.

    Raises `UnsupportedModelError`, naming the module, when the network does not run.
    """
    seen = Walk(network, RULES)
    with quiet(), plain_attention(), seen.watching(network), seen:
        outputs = run_once(network, input_shape)
    for tensor in leaves(outputs):
        seen.pin(tensor, OUTPUT)
    return seen
