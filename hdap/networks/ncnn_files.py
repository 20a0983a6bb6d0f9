"""Networks as ncnn reads them: a `.param`, which is text, and a `.bin` of its weights."""

import io
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from hdap.fleet_data.architecture import InputShape
from hdap.fleet_data.errors import InputError, UnsupportedModelError, told
from hdap.fleet_data.model_names import written
from hdap.networks.forward_pass import quiet

LONGEST_SECONDS = 1800
"""pnnx takes some seconds for a ResNet-50; one that hangs must not hang what called it."""

_KEYS = {1: ("0",), 2: ("0", "1"), 3: ("0", "1", "2"), 4: ("0", "1", "11", "2")}
"""Parameters of the layer `Input` from the innermost size outwards."""


@dataclass(frozen=True)
class NcnnLayer:
    """A line of a `.param`: its kind, what it reads and writes, and `key=value` parameters."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...]

    def number(self, key: int, default: int = 0) -> int:
        """An integer parameter."""
        found = [p.partition("=")[2] for p in self.parameters if p.startswith(f"{key}=")]
        return int(found[0]) if found else default

    def line(self) -> str:
        """As the `.param` has it."""
        counts = f"{len(self.inputs)} {len(self.outputs)}"
        words = (*self.inputs, *self.outputs, *self.parameters)
        return " ".join((f"{self.kind:<24} {self.name:<24} {counts}", *words))


@dataclass(frozen=True)
class NcnnModel:
    """The layers of a network and its weights as they lie in the `.bin`."""

    layers: tuple[NcnnLayer, ...]
    weights: bytes

    def text(self) -> str:
        """The `.param`."""
        blobs = {blob for layer in self.layers for blob in layer.outputs}
        lines = ["7767517", f"{len(self.layers)} {len(blobs)}"]
        return "\n".join([*lines, *(layer.line() for layer in self.layers), ""])


def to_ncnn(
    network: nn.Module, shape: InputShape, names: Sequence[str], *, half: bool = False
) -> NcnnModel:
    """`network` by pnnx, its input called `input` and its outputs `names`.

    `half` stores weights in float16. Raises `InputError` where pnnx is missing and
    `UnsupportedModelError` where it cannot follow the network, or ncnn has no such layer.
    """
    with tempfile.TemporaryDirectory(prefix="hdap-ncnn-") as folder:
        _trace(network, shape, Path(folder, "net.pt"))
        _convert(Path(folder), shape, half)
        layers = _layers(Path(folder, "net.ncnn.param").read_text(encoding="utf-8"))
        weights = Path(folder, "net.ncnn.bin").read_bytes()
    unknown = sorted({layer.kind for layer in layers if "." in layer.kind or "::" in layer.kind})
    if unknown:
        raise UnsupportedModelError(
            f"ncnn must have every layer of the network, but has none for {', '.join(unknown)}; "
            "try another format"
        )
    new = {"in0": "input"} | {f"out{i}": name for i, name in enumerate(names)}
    return NcnnModel(tuple(_renamed(layer, new, shape) for layer in layers), weights)


def _trace(network: nn.Module, shape: InputShape, file: Path) -> None:
    example, content = torch.zeros(1, *shape), io.BytesIO()
    try:
        with quiet(), torch.no_grad():
            script = torch.jit.trace(network, (example,))  # type: ignore[no-untyped-call]
            torch.jit.save(script, content)
    except Exception as error:
        raise UnsupportedModelError(
            f"torch.jit must be able to follow the network, but {told(error)}; try another format"
        ) from error
    # through memory: on a full disk torch's own writer ends the process
    file.write_bytes(content.getvalue())


def _convert(folder: Path, shape: InputShape, half: bool) -> None:
    sizes = ",".join(map(str, (1, *shape)))
    command = [pnnx(), "net.pt", f"inputshape=[{sizes}]", f"fp16={int(half)}"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=LONGEST_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnsupportedModelError(
            f"pnnx must convert the network, but {told(error)}; try another format"
        ) from error
    if done.returncode or not (folder / "net.ncnn.bin").exists():
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise UnsupportedModelError(
            f"pnnx must convert a network of {written(shape)}, but ended with {done.returncode}"
            f"{': ' if last else ''}{' '.join(last)}; try another format"
        )


def pnnx() -> str:
    """The program of the package `pnnx`; `InputError` says what installs it.

    Not the command of that name: it imports torch before it starts this.
    """
    spec = find_spec("pnnx")
    found = [
        Path(folder, name)
        for folder in (spec and spec.submodule_search_locations) or ()
        for name in ("pnnx", "pnnx.exe")
        if Path(folder, name).is_file()
    ]
    if not found:
        raise InputError(
            "`pnnx` must be installed to write ncnn's files, but is not; install it: "
            "python3 -m pip install 'hdap[ncnn]'"
        )
    return str(found[0])


def _layers(text: str) -> list[NcnnLayer]:
    found = []
    for words in map(str.split, text.splitlines()[2:]):
        if words:
            inputs, outputs = int(words[2]), int(words[3])
            blobs, rest = words[4 : 4 + inputs + outputs], words[4 + inputs + outputs :]
            found.append(
                NcnnLayer(
                    words[0], words[1], tuple(blobs[:inputs]), tuple(blobs[inputs:]), tuple(rest)
                )
            )
    return found


def _renamed(layer: NcnnLayer, new: dict[str, str], shape: InputShape) -> NcnnLayer:
    parameters = layer.parameters
    if layer.kind == "Input":
        sizes = zip(_KEYS[len(shape)], reversed(shape), strict=True)
        parameters = tuple(f"{key}={size}" for key, size in sizes)
    return NcnnLayer(
        layer.kind,
        layer.name,
        tuple(new.get(blob, blob) for blob in layer.inputs),
        tuple(new.get(blob, blob) for blob in layer.outputs),
        parameters,
    )
