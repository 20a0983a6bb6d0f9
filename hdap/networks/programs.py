"""Models that are files of `torch.export.save`: weights and graph in one, without the code.

`torch.export.load` unpickles (`weights_only=False` where a tensor is of a class of its own) and
evaluates sizes that are written as expressions, so such a file may hold code: it is loaded only
where a person named it, as a factory is.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from hdap.fleet_data.architecture import InputShape, InputShapes
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.model_names import MOST_DIMENSIONS
from hdap.networks.factories import in_a_line, require_leave
from hdap.networks.forward_pass import Images, call, leaves, of_each

_MODES = ("training", "train")
"""What operators call their mode: batch_norm, dropout, instance_norm."""


def load_program(name: str) -> tuple[fx.GraphModule, InputShapes]:
    """The network in the file `name`, and the input that it was exported for, or the inputs.

    It computes what it did in eval mode, whatever mode it is put in. Batches may have any size
    unless the example's is written into the graph: it then refuses others. Raises `InputError` for
    a file that is not there or cannot be loaded, and for a program that takes other than
    tensors of floats, or was exported in training mode.
    """
    if not Path(name).is_file():
        raise InputError(
            f"a model that ends in .pt2 is a file that torch.export.save wrote, but there is no "
            f"file {name}; start where it lies, or give its path"
        )
    require_leave(name)
    try:
        program = torch.export.load(name)
    except Exception as error:
        raise InputError(
            f"{name} must be what torch.export.save of this torch ({torch.__version__}) wrote, but "
            f"loading it failed with {in_a_line(error)}; export the network again"
        ) from error
    shape = _input_shapes(name, program)
    _require_eval_mode(name, program)
    module = program.module(check_guards=False)
    module._forward_pre_hooks.clear()  # they refuse every batch but the example's
    if not _takes_any_batch(module, shape):
        module = program.module(check_guards=True)
    del module.train, module.eval  # they raise; the graph has its mode written into it
    return module, shape


@torch.no_grad()
def _takes_any_batch(module: fx.GraphModule, shape: InputShapes) -> bool:
    """Whether two inputs together give what each does alone."""
    rng = torch.Generator().manual_seed(0)
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    pair = of_each(shape, lambda sizes: torch.randn(2, *sizes, generator=rng).to(dtype))
    try:
        both, *alone = (
            leaves(call(module, _part(pair, rows)))
            for rows in (slice(None), slice(0, 1), slice(1, 2))
        )
        for together, *parts in zip(both, *alone, strict=True):
            torch.testing.assert_close(together, torch.cat(parts), rtol=1e-3, atol=1e-4)
    except Exception:  # whatever a graph does that was made for another batch
        return False
    return True


def _part(images: Images, rows: slice) -> Images:
    if isinstance(images, Mapping):
        return {name: tensor[rows] for name, tensor in images.items()}
    return images[rows]


def _input_shapes(name: str, program: ExportedProgram) -> InputShapes:
    inputs = [n for n in program.graph.nodes if n.name in program.graph_signature.user_inputs]
    values = [node.meta.get("val") for node in inputs]
    tensors = [v for v in values if isinstance(v, Tensor) and v.is_floating_point()]
    arguments = _arguments(program, [str(node.name) for node in inputs])
    if not tensors or len(tensors) < len(values) or len(arguments) != len(values):
        kinds = ", ".join(_words(value) for value in values) or "nothing"
        raise InputError(
            f"{name} must take tensors of floats, each an argument of its own, but takes {kinds}; "
            "wrap it"
        )
    examples = _examples(program)
    if len(examples) != len(tensors):
        examples = tensors
    shapes = [_shape(name, example) for example in examples]
    return dict(sorted(zip(arguments, shapes, strict=True))) if len(shapes) > 1 else shapes[0]


def _shape(name: str, example: Tensor) -> InputShape:
    sizes = tuple(example.shape[1:])
    fixed = all(isinstance(size, int) for size in sizes)
    if not fixed or not 1 <= len(sizes) <= MOST_DIMENSIONS:
        raise InputError(
            f"{name} must take a batch of inputs of 1 to {MOST_DIMENSIONS} dimensions, of known "
            f"size, but takes {_words(example)}; export it with the example that it is for"
        )
    return sizes


def _arguments(program: ExportedProgram, otherwise: list[str]) -> list[str]:
    """The names of `forward`'s arguments, in the order of the inputs."""
    signature = program.module_call_graph[0].signature
    return list((signature and signature.forward_arg_names) or otherwise)


def _examples(program: ExportedProgram) -> list[Tensor]:
    """The tensors that it was exported with, where the file holds them."""
    positional, named = program.example_inputs or ((), {})
    return [x for x in (*positional, *named.values()) if isinstance(x, Tensor)]


def _require_eval_mode(name: str, program: ExportedProgram) -> None:
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            continue
        given = dict(zip((a.name for a in schema.arguments), node.args, strict=False))
        if any({**given, **node.kwargs}.get(mode) is True for mode in _MODES):
            raise InputError(
                f"{name} must be exported in eval mode, but its {schema.name} is training; "
                "call network.eval() before torch.export.export"
            )


def _words(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{' x '.join(map(str, value.shape))} of {value.dtype}"
