"""From a torch model to its torch-free description.

Which channels go together is read off one run of the network (`hdap.networks.walk`). Nothing is
believed: random configurations are really pruned, counted by torch (`counting`) and compared with
the same network, masked (`equivalence`). Width groups that fail stay whole, by name and reason.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, InputShapes, KeptChannels, WidthGroup
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, Refusal
from hdap.networks.counting import verify_counts, verify_dense
from hdap.networks.description import architecture_of
from hdap.networks.equivalence import NotShownError, verify_equivalence
from hdap.networks.following import follow_channels
from hdap.networks.forward_pass import RunError
from hdap.networks.loading import input_shape_of, load_model

_IDLE = "ran on nothing when traced: what it costs depends on the input, and is not counted"

Proof = Callable[[ChannelGraph, Architecture, Collection[str]], None]


def trace(
    model: str | nn.Module,
    *,
    name: str | None = None,
    input_shape: InputShapes | None = None,
) -> Architecture:
    """The architecture of a timm name, a `package.module:factory` or a network itself.

    `name` and `input_shape` are taken from the model when they are not given (a network without
    either: its class and 3 x 224 x 224). The network is not changed, and its weights play no part.

    Raises `NotFoundError` or `InputError` for a name that does not work, and
    `UnsupportedModelError` for a network that does not run or of which nothing can be pruned.
    """
    if not isinstance(model, str):
        _require_tensors(model)
        known = type(model).__name__
        shape = input_shape or input_shape_of(known, model)
        return _proven(follow_channels(model, shape, counted=True), name or known, shape)
    loaded = load_model(model, device="meta")
    _require_tensors(loaded.module)
    shape = input_shape or loaded.input_shape
    try:
        graph = follow_channels(loaded.module, shape, counted=True)
    except UnsupportedModelError:
        # code that looks at numbers needs some
        module = load_model(model).module
        graph = follow_channels(module, shape, numbers=True, counted=True)
    return _proven(graph, name or model, shape)


def _require_tensors(module: nn.Module) -> None:
    state = module.state_dict()
    odd = next((name for name, value in state.items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise UnsupportedModelError(
            f"the state dict of a network must hold tensors, which a checkpoint can keep, but "
            f"`{odd}` is of {type(state[odd]).__name__}; take `get_extra_state` out of its class"
        )


def describe(
    module: nn.Module,
    model: str,
    input_shape: InputShapes,
    only: Collection[str] | None = None,
) -> Architecture:
    """Description of `module`, not checked against real pruning.

    With `only` it has the width groups of these names, as a description that was checked has.
    Raises `UnsupportedModelError` where the network does not run.
    """
    return architecture_of(follow_channels(module, input_shape, only), model, input_shape)


def _proven(graph: ChannelGraph, model: str, input_shape: InputShapes) -> Architecture:
    architecture = architecture_of(graph, model, input_shape)
    kept = list(architecture.kept)
    verify_dense(graph, architecture)
    for proof in (verify_counts, partial(verify_counts, fewest=True), verify_equivalence):
        while architecture.groups:
            names = [g.name for g in architecture.groups]
            failed = _failing(proof, graph, architecture, names)
            if not failed:
                break
            width = {g.name: g.width for g in architecture.groups}
            kept += [KeptChannels(name, width[name], why) for name, why in failed.items()]
            graph = graph.keeping_all_but(set(names) - failed.keys())
            architecture = architecture_of(graph, model, input_shape)
    if idle := _idle(graph):
        kept += [KeptChannels(g.name, g.width, _IDLE) for g in idle]
        graph = graph.keeping_all_but(architecture.index.keys() - {g.name for g in idle})
        architecture = architecture_of(graph, model, input_shape)
    if not architecture.groups:
        raise UnsupportedModelError(_nothing_left(model, kept))
    return replace(architecture, kept=tuple(kept))


def _idle(graph: ChannelGraph) -> list[WidthGroup]:
    """Width groups whose layers ran on nothing, such as boxes where none are found."""
    ran = {layer.name for layer in graph.layers if 0 not in layer.output_size}
    return [group for group in graph.groups if not ran.intersection(group.members)]


def _failing(
    proof: Proof,
    graph: ChannelGraph,
    architecture: Architecture,
    names: list[str],
    beside: Sequence[str] = (),
) -> dict[str, str]:
    """Some of the width groups of `names` that fail a proof, and why; none where they stand it.

    Suspected first are those near the module that failed. `beside` are groups that stand it
    together; what fails only with others is found after them.
    """
    error = _error(proof, graph, architecture, [*beside, *names])
    if error is None:
        return {}
    if len(names) == 1:
        return {names[0]: _why(error)}
    if isinstance(error, NotShownError):
        hidden = {name: _why(error) for name in names if name in error.groups}
        if hidden:
            return hidden
    if isinstance(error, RunError):
        near = graph.near(error.module)
        suspects = [name for name in names if name in near]
        alone = {name: _error(proof, graph, architecture, [name]) for name in suspects}
        found = {name: _why(error) for name, error in alone.items() if error is not None}
        if found:
            return {k: w for k, w in _alike(graph, error.module, found).items() if k in names}
    left, right = names[: len(names) // 2], names[len(names) // 2 :]
    found = _failing(proof, graph, architecture, left, beside)
    return found or _failing(proof, graph, architecture, right, [*beside, *left])


def _error(
    proof: Proof, graph: ChannelGraph, architecture: Architecture, names: list[str]
) -> UnsupportedModelError | None:
    try:
        proof(graph, architecture, names)
    except UnsupportedModelError as error:
        return error
    return None


def _why(error: UnsupportedModelError) -> str:
    why = error.why if isinstance(error, Refusal) else str(error).partition(", but ")[2]
    why = f"`{error.layer}` {why}" if isinstance(error, NotShownError) and error.groups else why
    # the commonest cause, and what helps
    hint = " (is a size written in its code? take it from the tensor's shape)"
    return f"cannot be narrower: {why or error}{hint if isinstance(error, RunError) else ''}"


def _alike(graph: ChannelGraph, module: str, found: dict[str, str]) -> dict[str, str]:
    """What fails in a module fails in every module of its class that ran the same operations."""
    cls, calls = type(graph.network.get_submodule(module)), graph.told.get(module, ())
    result = dict(found)
    for other, theirs in graph.told.items():
        if type(graph.network.get_submodule(other)) is cls and len(theirs) == len(calls):
            for mine, same in zip(calls, theirs, strict=True):
                pairs = zip(mine, same, strict=False)
                result.update({their: found[name] for name, their in pairs if name in found})
    return result


def _nothing_left(model: str, kept: Sequence[KeptChannels]) -> str:
    first = next((f"`{k.layer}` {k.why}" for k in kept), "it has no layer whose width may change")
    return (
        f"a network must have layers whose width may change, but nothing is left to prune in "
        f"{model}: {first}; use another model or rewrite this layer"
    )
