"""Running a network once so that its channels can be followed."""

from contextlib import nullcontext

from torch import nn

from hdap.fleet_data.architecture import InputShapes
from hdap.networks.flop_counter import counting, macs_of, plain_operations
from hdap.networks.forward_pass import leaves, run_once
from hdap.networks.shapes_alone import shapes_alone
from hdap.networks.walk.recorder import Walk
from hdap.networks.walk.rules.registry import RULES

OUTPUT = "is the network's output"


def walk(
    network: nn.Module, input_shape: InputShapes, *, computed: bool = False, counted: bool = False
) -> Walk:
    """What every operation of one run on zeros says of the channels; `network` is not changed.

    Its numbers are not those that it computes, unless they are to be `computed`. With `counted`
    torch counts its FLOPs, for half as much time again. Raises `UnsupportedModelError`, naming the
    module, when the network does not run.
    """
    seen = Walk(network, RULES)
    cheaply = nullcontext() if computed else shapes_alone(network)
    plainly = counting(network) if counted else plain_operations()
    with cheaply, plainly as counter, seen.watching(network), seen:
        outputs = run_once(network, input_shape)
    if counter is not None:
        seen.counted = macs_of(counter)
    for tensor in leaves(outputs):
        seen.pin(tensor, OUTPUT)
    return seen
