"""int8 for OpenVINO: NNCF, on an ONNX model or on one of OpenVINO's own."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any, TypeVar

from torch import Tensor

from hdap.fleet_data.errors import UnsupportedModelError, told
from hdap.networks.export_formats.base import optional
from hdap.networks.quantisation.silence import silent

M = TypeVar("M")


def quantised_by_nncf(
    model: M, name: str, inputs: Sequence[Tensor], *, correct_biases: bool = True
) -> M:
    """`model`, an `onnx.ModelProto` or `openvino.Model` whose input is `name`, in int8.

    Correcting biases takes as long as all the rest; where only latency counts it can be left out.
    Raises `InputError` where NNCF is missing, `UnsupportedModelError` where it fails.
    """
    with _sealed():
        nncf = optional("nncf", "openvino")
        dataset = nncf.Dataset([{name: one.numpy()} for one in inputs])
        try:
            quantised: M = nncf.quantize(
                model,
                dataset,
                subset_size=len(inputs),
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    disable_bias_correction=not correct_biases
                ),
            )
        except Exception as error:  # of no common kind
            raise UnsupportedModelError(
                f"NNCF must be able to quantise the network, but {told(error)}; "
                "try another --format or --precision float32"
            ) from error
    return quantised


@contextmanager
def _sealed() -> Iterator[None]:
    """Neither tables nor bars, and nothing is sent to NNCF's makers."""
    before: dict[str, Any] = {"NNCF_CI": os.environ.get("NNCF_CI")}
    os.environ["NNCF_CI"] = "1"
    try:
        with silent(), redirect_stdout(StringIO()):
            yield
    finally:
        if before["NNCF_CI"] is None:
            del os.environ["NNCF_CI"]
        else:
            os.environ["NNCF_CI"] = before["NNCF_CI"]
