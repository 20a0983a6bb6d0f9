"""Networks as files for other runtimes, each compared with torch before it takes its place."""

import io
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from hdap.fleet_data.atomic_files import require_free_file, writable, write_file
from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.forward_pass import quiet, random_images
from hdap.networks.onnx_files import OPSET, to_onnx

TOLERANCE = 1e-4
"""How far an exported network may be from torch: rounding stays below, a wrong layer does not."""

PROTOBUF_LIMIT = 2**31 - 2**20
"""An ONNX file cannot pass 2 GiB; larger weights go to a second file beside it."""

_FIXED, _DYNAMIC = (1, 1, 1), (1, 2, 5)

Shape = tuple[int, int, int]
Runner = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ExportOptions:
    """`opset` is ONNX's alone; without `dynamic_batch` the batch size is 1."""

    opset: int = OPSET
    dynamic_batch: bool = False


@dataclass(frozen=True)
class Exported:
    """What was written, the file asked for first; `bytes` are those of all files.

    `error` is the largest relative difference from torch over random batches of sizes `batches`.
    """

    files: tuple[Path, ...]
    bytes: int
    error: float
    batches: tuple[int, ...]


class ExportFormat(ABC):
    """One kind of file. Stateless; the network given is in eval mode on the CPU."""

    @abstractmethod
    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        """Write `file`, and where the format must, others beside it in the same (empty) folder.

        Raises `UnsupportedModelError` where the network cannot be written that way.
        """

    @abstractmethod
    def open(self, file: Path) -> Runner:
        """A function from images to output that runs what is in `file`."""


class Onnx(ExportFormat):
    """ONNX, run by ONNX Runtime on the CPU."""

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        model = to_onnx(network, shape, opset=options.opset, dynamic_batch=options.dynamic_batch)
        if sum(_bytes(t) for t in network.state_dict().values()) < PROTOBUF_LIMIT:
            write_file(file, model.SerializeToString(deterministic=True))
        else:
            onnx.save(model, file, save_as_external_data=True, location=f"{file.name}.data")

    def open(self, file: Path) -> Runner:
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(file), settings, providers=["CPUExecutionProvider"]
        )
        return lambda images: torch.from_numpy(session.run(None, {"input": images.numpy()})[0])


class Pt2(ExportFormat):
    """`torch.export`: a graph that torch and its compilers read; nothing in it is pickled code."""

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        batch = {0: torch.export.Dim("batch", min=1)} if options.dynamic_batch else None
        example = torch.zeros(2 if batch else 1, *shape)
        with _followed("torch.export"):
            program = torch.export.export(
                network, (example,), dynamic_shapes=(batch,) if batch else None
            )
            # Through memory: on a full disk torch's own writer ends the process.
            content = io.BytesIO()
            torch.export.save(program, content)
        write_file(file, content.getvalue())

    def open(self, file: Path) -> Runner:
        runner: Runner = torch.export.load(file).module()
        return runner


class TorchScript(ExportFormat):
    """A trace for C++ and mobile builds of torch."""

    def write(self, network: nn.Module, shape: Shape, options: ExportOptions, file: Path) -> None:
        example = torch.zeros(2 if options.dynamic_batch else 1, *shape)
        with _followed("torch.jit"), torch.no_grad():
            script = torch.jit.trace(  # type: ignore[no-untyped-call]
                network, (example,), check_trace=False
            )
            content = io.BytesIO()
            torch.jit.save(script, content)
        write_file(file, content.getvalue())

    def open(self, file: Path) -> Runner:
        with quiet():
            script = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
        runner: Runner = script.eval()
        return runner


FORMATS: Mapping[str, ExportFormat] = {
    "onnx": Onnx(),
    "pt2": Pt2(),
    "torchscript": TorchScript(),
}


def export(
    network: nn.Module,
    shape: Shape,
    kind: str,
    out: Path,
    options: ExportOptions | None = None,
    *,
    force: bool = False,
) -> Exported:
    """Write `network` to `out` in a format of `FORMATS`, once its output agrees with torch's.

    Raises:
        InputError: an unknown format, `out` is there (and not `force`) or cannot be written.
        UnsupportedModelError: the network cannot be written that way, or the file computes
            something else. Nothing is then left behind, and what was there is still there.
    """
    options = options or ExportOptions()
    if kind not in FORMATS:
        raise InputError(f"a format is one of {', '.join(FORMATS)}, but got {kind!r}")
    require_free_file(out, force)
    network = network.eval()
    batches = _DYNAMIC if options.dynamic_batch else _FIXED
    with (
        writable(out),
        tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}.") as folder,
    ):
        file = Path(folder) / out.name
        FORMATS[kind].write(network, shape, options, file)
        error = _compare(network, shape, FORMATS[kind], file, batches)
        # The file asked for last: whoever sees it finds the others beside it.
        names = sorted((p.name for p in Path(folder).iterdir()), key=lambda name: name == out.name)
        for name in names:
            os.replace(Path(folder) / name, out.with_name(name))
    files = tuple(out.with_name(name) for name in reversed(names))
    return Exported(files, sum(f.stat().st_size for f in files), error, batches)


@torch.no_grad()
def _compare(
    network: nn.Module, shape: Shape, format: ExportFormat, file: Path, batches: Sequence[int]
) -> float:
    """The largest difference over random batches, relative to the batch's largest output."""
    largest = 0.0
    try:
        with quiet():
            runner = format.open(file)
            for seed, batch in enumerate(batches):
                images = random_images(network, shape, batch, seed)
                wanted, got = network(images), runner(images)
                scale = float(wanted.abs().max()) or 1.0
                largest = max(largest, float((got - wanted).abs().max()) / scale)
                if got.shape != wanted.shape or not largest <= TOLERANCE:
                    raise UnsupportedModelError(
                        f"the exported network must compute what torch does, but for a batch of "
                        f"{batch} it gives {tuple(got.shape)} with a relative error of "
                        f"{largest:.1e} (at most {TOLERANCE:.0e}); try another format or opset"
                    )
    except (UnsupportedModelError, OSError):
        raise
    except Exception as error:
        raise _failed("the exported network must run", error) from error
    return largest


@contextmanager
def _followed(exporter: str) -> Iterator[None]:
    try:
        with quiet():
            yield
    except Exception as error:
        raise _failed(f"{exporter} must be able to follow the network", error) from error


def _failed(what: str, error: Exception) -> UnsupportedModelError:
    first = str(error).strip().partition("\n")[0]
    return UnsupportedModelError(
        f"{what}, but failed with {type(error).__name__}: {first}; try another format"
    )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
