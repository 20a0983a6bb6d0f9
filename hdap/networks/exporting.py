"""Networks as files for other runtimes, each compared with torch before it takes its place."""

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hdap.fleet_data.atomic_files import require_free_file, writable
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.export_formats.base import ExportFormat, ExportOptions, Shape, failed
from hdap.networks.export_formats.registry import FORMATS
from hdap.networks.forward_pass import call, flat_output, named_leaves, quiet, random_images

TOLERANCE = 1e-4
"""How far an exported network may be from torch: rounding stays below, a wrong layer does not."""

_FIXED, _DYNAMIC = (1, 1, 1), (1, 2, 5)


@dataclass(frozen=True)
class Exported:
    """What was written, the file asked for first; `bytes` are those of all files.

    `error` is the largest relative difference from torch over random batches of sizes `batches`.
    """

    files: tuple[Path, ...]
    bytes: int
    error: float
    batches: tuple[int, ...]


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
    written_as = FORMATS[kind]
    require_free_file(out, force)
    network = network.eval()
    batches = _DYNAMIC if options.dynamic_batch else _FIXED
    with (
        writable(out),
        tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}.") as folder,
    ):
        file = Path(folder) / out.name
        with flat_output(network, shape):
            written_as.write(network, shape, options, file)
        error = _compare(network, shape, written_as, file, batches)
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
    """The largest difference over random batches, relative to each output's largest number."""
    largest = 0.0
    try:
        with quiet():
            runner = format.open(file)
            for seed, batch in enumerate(batches):
                images = random_images(network, shape, batch, seed)
                wanted, got = (named_leaves(call(x, images)) for x in (network, runner))
                if got.keys() != wanted.keys():
                    raise UnsupportedModelError(
                        f"the exported network must give what torch does, {', '.join(wanted)}, but "
                        f"gives {', '.join(got)}; try another format"
                    )
                for name, expected in wanted.items():
                    error = _difference(expected, got[name])
                    largest = max(largest, error)
                    if not error <= TOLERANCE:
                        raise UnsupportedModelError(
                            f"the exported network must compute what torch does, but for a batch "
                            f"of {batch} its {name} is {tuple(got[name].shape)} with a relative "
                            f"error of {error:.1e} (at most {TOLERANCE:.0e}); try another format "
                            f"or opset"
                        )
    except (UnsupportedModelError, OSError):
        raise
    except Exception as error:
        raise failed("the exported network must run", error) from error
    return largest


def _difference(expected: Tensor, got: Tensor) -> float:
    """The largest difference of two outputs, classes and masks too; infinite for another shape."""
    if got.shape != expected.shape:
        return math.inf
    if not expected.numel():
        return 0.0
    one, other = (x if x.is_complex() else x.double() for x in (expected, got))
    return float((other - one).abs().max()) / (float(one.abs().max()) or 1.0)
