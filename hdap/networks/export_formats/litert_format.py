"""LiteRT: a `.tflite`, by litert-torch and ai-edge-quantizer.

Their pins and ours cannot be met together, so they may live in an environment of their own, which
`HDAP_LITERT_PYTHON` names: a program of theirs is then started in it.
"""

import io
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hdap.device.runtimes.litert_runtime import LiteRtRuntime
from hdap.fleet_data.architecture import one_input
from hdap.fleet_data.atomic_files import write_file
from hdap.fleet_data.errors import InputError, UnsupportedModelError, told
from hdap.networks.export_formats.base import (
    ExportFormat,
    ExportOptions,
    OutputsInOrder,
    Runner,
    Shape,
    by_name,
    followed,
    optional,
)
from hdap.networks.forward_pass import named_leaves, run_once

ENVIRONMENT = "HDAP_LITERT_PYTHON"
INSTALL = (
    "python3 -m venv litert && litert/bin/pip install litert-torch==0.10.0 "
    "ai-edge-quantizer==0.10.0 && export HDAP_LITERT_PYTHON=$PWD/litert/bin/python"
)
LONGEST_SECONDS = 1800
"""Half a minute of imports, and about as much for a ResNet-50."""

_CONVERT = """\
import sys
import numpy
import torch
import litert_torch

source, calibration, made = sys.argv[1:]
program = torch.export.load(source)
example = tuple(torch.zeros(node.meta["val"].shape) for node in program.graph.nodes
                if node.op == "placeholder" and node.name in program.graph_signature.user_inputs)
litert_torch.convert(program.module(), example).export(made)
if calibration:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    signatures = Interpreter(model_path=made).get_signature_list()
    (name, ends), = signatures.items()
    inputs = [{ends["inputs"][0]: one[None]} for one in numpy.load(calibration)]
    maker = quantizer.Quantizer(made, recipe.static_wi8_ai8())
    for end in ("INPUT", "OUTPUT"):  # they stay float32, as the other runtimes have them
        maker.update_quantization_recipe(".*", qtyping.TFLOperationName[end],
                                         algorithm_key="no_quantize")
    # to the extremes of all inputs; the quantizer's own moving average cuts them off
    known = calibrator.Calibrator(made, qsv_update_func=qsv_utils.min_max_update)
    rules = recipe_manager.RecipeManager()
    rules.load_quantization_recipe(maker.get_quantization_recipe())
    known.calibrate({name: inputs}, rules)
    maker.quantize(known.get_model_qsvs()).export_model(made, overwrite=True)
"""


class LiteRtFormat(ExportFormat):
    """By litert-torch; int8 of weights and activations by ai-edge-quantizer."""

    suffix = ".tflite"
    companions = (".outputs",)
    precisions = ("float32", "int8")
    any_batch = False

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        only = one_input(shape, "this one", "LiteRT")
        optional("ai_edge_litert.interpreter", "litert")
        python = converter_python()
        with tempfile.TemporaryDirectory(prefix="hdap-litert-") as folder:
            source, made = Path(folder, "net.pt2"), Path(folder, "net.tflite")
            with followed("torch.export"):
                ordered = OutputsInOrder(network).eval()
                program = torch.export.export(ordered, (torch.zeros(1, *only),))
                # through memory: on a full disk torch's own writer ends the process
                torch.export.save(program, saved := io.BytesIO())
            source.write_bytes(saved.getvalue())
            calibration = ""
            if options.precision == "int8":
                calibration = str(Path(folder, "inputs.npy"))
                np.save(calibration, torch.cat(options.inputs(only)).numpy())
            _run([python, "-c", _CONVERT, str(source), calibration, str(made)])
            content = made.read_bytes()
        names = tuple(named_leaves(run_once(network, only)))
        write_file(file, content)
        if names != ("output",):
            write_file(file.with_suffix(".outputs"), "\n".join(names).encode())

    def open(self, file: Path) -> Runner:
        network = LiteRtRuntime().open(str(file))
        told_names = file.with_suffix(".outputs")
        names = told_names.read_text().split("\n") if told_names.exists() else ["output"]

        def run(images: Tensor) -> Any:
            return by_name(names, [np.copy(one) for one in network.run(images.numpy())])

        return run


def converter_python() -> str:
    """The Python that has litert-torch; `InputError` says how to make one."""
    if named := os.environ.get(ENVIRONMENT):
        return named
    if find_spec("litert_torch") is not None:
        return sys.executable
    raise InputError(
        f"litert-torch must be installed to write LiteRT's files, in an environment of its own "
        f"(its pins and ours differ) that {ENVIRONMENT} names; make one: {INSTALL}"
    )


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(
            f"{ENVIRONMENT} must name a Python with litert-torch, but {told(error)}; "
            f"make one: {INSTALL}"
        ) from error
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise UnsupportedModelError(
            f"litert-torch must convert the network, but {' '.join(last)}; try another format"
        )
