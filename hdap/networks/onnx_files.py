"""From a torch network to one ONNX file that old runtimes on devices still read."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

import onnx
import torch
from onnx.helper import find_min_ir_version_for
from torch import nn

from hdap.fleet_data.architecture import InputShapes
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.exporter_operators import operators_read_once
from hdap.networks.forward_pass import as_arguments, batches_of, flat_output, quiet, zeros

OPSET = 18
"""The oldest that torch's exporter writes without converting."""

IR_VERSION = 8
"""Read by onnxruntime 1.14 (2023) and later, the last for Python 3.9 included."""


def to_onnx(
    module: nn.Module,
    input_shape: InputShapes,
    batch_size: int = 1,
    *,
    opset: int = OPSET,
    dynamic_batch: bool = False,
) -> onnx.ModelProto:
    """`module` in eval mode as an ONNX model with weights inside.

    The batch size is fixed, or any at all with `dynamic_batch`. Outputs are named as in
    `named_leaves`, one tensor alone `output`; inputs by
    their own names, one alone `input`. Normalisations are folded into
    convolutions by the exporter. Raises `UnsupportedModelError` where the exporter cannot follow
    the network or write that opset.
    """
    # A batch of 1 would be taken for a constant.
    example = zeros(input_shape, max(batch_size, 2) if dynamic_batch else batch_size)
    args, named = as_arguments(example)
    batch = {0: torch.export.Dim("batch", min=1)} if dynamic_batch else None
    try:
        with _silent(), flat_output(module.eval(), input_shape) as names:
            program = torch.onnx.export(
                module,
                args,
                kwargs=named,
                input_names=list(named) or ["input"],
                output_names=names,
                opset_version=opset,
                dynamic_shapes=batches_of(input_shape, batch) if batch else None,
                dynamo=True,
                optimize=True,
                verbose=False,
            )
            if program is None:
                raise RuntimeError("torch's exporter returned nothing")
            model: onnx.ModelProto = program.model_proto
    except UnsupportedModelError:
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise UnsupportedModelError(
            f"torch must be able to export the network to ONNX, but failed with "
            f"{type(error).__name__}: {first}; avoid control flow that depends on data"
        ) from error
    _check_opset(model, opset)
    model.ir_version = max(IR_VERSION, find_min_ir_version_for(list(model.opset_import)))
    # Traces of where each node came from in the Python code: two thirds of a file without weights.
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in model.graph.value_info:
        value.ClearField("metadata_props")
    for name in ("metadata_props", "doc_string"):
        model.graph.ClearField(name)
    return model


def keep_outside(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    """Point a tensor, changed in place, at bytes of another file.

    `location` is relative to the folder of the ONNX file, `offset` and `length` in bytes.
    """
    for name in ("raw_data", "float_data", "int32_data", "int64_data"):
        tensor.ClearField(name)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def _check_opset(model: onnx.ModelProto, wanted: int) -> None:
    """The exporter says nothing when it cannot convert to an opset; it writes another."""
    written = [item.version for item in model.opset_import if not item.domain]
    if written != [wanted]:
        raise UnsupportedModelError(
            f"torch must be able to write ONNX opset {wanted}, but wrote {written[0]} instead; "
            f"ask for {OPSET} or a little later"
        )


@contextmanager
def _silent() -> Iterator[None]:
    logger = logging.getLogger("onnxscript")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with quiet(), redirect_stdout(StringIO()), operators_read_once():
            yield
    finally:
        logger.setLevel(level)
