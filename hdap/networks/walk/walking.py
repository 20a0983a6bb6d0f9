"""Running a network once so that its channels can be followed."""

from contextlib import nullcontext

from torch import nn

from hdap.fleet_data.architecture import InputShapes
from hdap.networks.forward_pass import leaves, plain_attention, quiet, run_once, shapes_alone
from hdap.networks.walk.recorder import Walk
from hdap.networks.walk.rules.registry import RULES

OUTPUT = "is the network's output"


def walk(network: nn.Module, input_shape: InputShapes, *, computed: bool = False) -> Walk:
    """What every operation of one run on zeros says of the channels; `network` is not changed.

    Its numbers are not those that it computes, unless they are to be `computed`. Raises
    `UnsupportedModelError`, naming the module, when the network does not run.
    """
    seen = Walk(network, RULES)
    cheaply = nullcontext() if computed else shapes_alone(network)
    with quiet(), plain_attention(), cheaply, seen.watching(network), seen:
        outputs = run_once(network, input_shape)
    for tensor in leaves(outputs):
        seen.pin(tensor, OUTPUT)
    return seen
