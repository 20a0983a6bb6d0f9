"""Exports share the table of operators, and one after the other writes what each wrote alone."""

from typing import Any

import pytest
from torch.onnx._internal.exporter._registration import ONNXRegistry

from hdap.networks.exporter_operators import operators_read_once


def test_operators_are_read_once_for_each_opset(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def read(opset_version: int) -> Any:
        asked.append(opset_version)
        return ONNXRegistry()

    monkeypatch.setattr(ONNXRegistry, "from_torchlib", staticmethod(read))
    for _ in range(2):
        with operators_read_once():
            read_of = [ONNXRegistry().from_torchlib(opset_version=n) for n in (18, 18, 20)]
            assert read_of[0] is read_of[1]
    assert asked == [18, 20]
    assert ONNXRegistry.from_torchlib is read


def test_a_torch_that_reads_them_otherwise_exports_as_it_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(ONNXRegistry, "from_torchlib")
    with operators_read_once():
        assert not hasattr(ONNXRegistry, "from_torchlib")
