"""Networks as files for other runtimes, each compared with torch before it takes its place."""

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hdap.fleet_data.atomic_files import require_free_file, writable
from hdap.fleet_data.errors import HdapError, InputError, UnsupportedModelError
from hdap.networks.export_formats.base import (
    ExportFormat,
    ExportOptions,
    Runner,
    Shape,
    failed,
)
from hdap.networks.export_formats.registry import FORMATS
from hdap.networks.forward_pass import (
    Images,
    call,
    flat_output,
    named_leaves,
    quiet,
    random_images,
)

TOLERANCE = 1e-4
"""How far an exported network may be from torch: rounding stays below, a wrong layer does not."""

BOUNDS = {"float32": TOLERANCE, "float16": 2e-2, "int8": 0.3}
"""The same by precision. float16 has 11 bits, of which depth takes some. In int8 the difference is
the root of the mean square, where 0.01 to 0.1 is usual (ResNet-50: 0.02); a scale that is wrong or
sums that overflow give 0.5 and more, and with 0.3 of noise classes are no longer told apart."""

_FIXED, _DYNAMIC = (1, 1, 1), (1, 2, 5)
_QUANTISED = (1,) * 16
"""Batches in int8: so many are needed for a share that agrees to say anything."""


@dataclass(frozen=True)
class Exported:
    """What was written, the file asked for first; `bytes` are those of all files.

    `error` is the largest relative difference from torch over batches of sizes `batches`; in int8
    the relative root mean square, largest over outputs, and `agreement` the share of inputs whose
    largest number is at the same place, None where that means nothing. `calibrated` says on what.
    """

    files: tuple[Path, ...]
    bytes: int
    error: float
    batches: tuple[int, ...]
    precision: str = "float32"
    agreement: float | None = None
    calibrated: str = ""


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
        InputError: an unknown format or precision, a format whose package is missing, `out` has
            another suffix than the format's or cannot be written, or as `require_free`.
        UnsupportedModelError: the network cannot be written that way, or the file computes
            something else. Nothing is then left behind, and what was there is still there.
    """
    options = options or ExportOptions()
    written_as = FORMATS[kind]
    check_options(kind, options, out)
    require_free(kind, out, force)
    network = network.eval()
    with (
        writable(out),
        tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}.") as folder,
    ):
        file = Path(folder) / out.name
        with flat_output(network, shape):
            written_as.write(network, shape, options, file)
        inputs = _inputs(network, shape, options)
        difference = _compare(network, inputs, written_as, file, options.precision)
        # The file asked for last: whoever sees it finds the others beside it.
        names = sorted((p.name for p in Path(folder).iterdir()), key=lambda name: name == out.name)
        for name in names:
            os.replace(Path(folder) / name, out.with_name(name))
        for beside in map(out.with_suffix, written_as.companions):
            if beside.name not in names:
                beside.unlink(missing_ok=True)  # of the file that was replaced
    files = tuple(out.with_name(name) for name in reversed(names))
    return Exported(
        files,
        sum(f.stat().st_size for f in files),
        difference.error,
        tuple(_batch_size(one) for one in inputs),
        options.precision,
        difference.agreement,
        _calibrated(options),
    )


def check_options(kind: str, options: ExportOptions, out: Path) -> None:
    """Raises `InputError` for what a format of `FORMATS` cannot do, before any work."""
    written_as = FORMATS[kind]
    if options.precision not in written_as.precisions:
        raise InputError(
            f"--precision of {kind} must be one of {', '.join(written_as.precisions)}, but got "
            f"{options.precision!r}: choose one of these, or another --format"
        )
    if options.dynamic_batch and not (written_as.any_batch and options.precision == "float32"):
        what = kind if not written_as.any_batch else f"{kind} in {options.precision}"
        raise InputError(f"{what} is written for a batch of 1; leave --dynamic-batch out")
    if written_as.suffix and out.suffix != written_as.suffix:
        raise InputError(
            f"a file of {kind} must end in {written_as.suffix}, but got {out.name}; "
            f"--out {out.with_suffix(written_as.suffix).name}"
        )


def require_free(kind: str, out: Path, force: bool) -> None:
    """Raises `InputError` where `out`, or what the format writes beside it, is there (and not
    `force`), or belongs to a file of another format."""
    require_free_file(out, force)
    for suffix in FORMATS[kind].companions:
        beside = out.with_suffix(suffix)
        if not beside.exists():
            continue
        for other in FORMATS.values():
            owner = out.with_suffix(other.suffix) if other.suffix else out
            if suffix in other.companions and owner != out and owner.exists():
                raise InputError(
                    f"{kind} writes {beside.name} beside {out.name}, but {beside} belongs to "
                    f"{owner.name}; give `--out` another name or folder"
                )
        require_free_file(beside, force)


def _calibrated(options: ExportOptions) -> str:
    if options.precision != "int8":
        return ""
    return f"{len(options.calibration)} inputs of the data" if options.calibration else "random"


def _inputs(network: nn.Module, shape: Shape, options: ExportOptions) -> list[Images]:
    """What file and torch are compared on: in int8 what it is for, where there is data."""
    if options.precision == "int8" and options.calibration:
        return list(options.calibration[: len(_QUANTISED)])
    sizes = _QUANTISED if options.precision == "int8" else _FIXED
    sizes = _DYNAMIC if options.dynamic_batch else sizes
    return [random_images(network, shape, batch, seed) for seed, batch in enumerate(sizes)]


def _batch_size(images: Images) -> int:
    first = next(iter(images.values())) if isinstance(images, Mapping) else images
    return len(first)


@dataclass(frozen=True)
class FileDifference:
    """How far a file is from torch; see `Exported`."""

    error: float
    agreement: float | None


@torch.no_grad()
def _compare(
    network: nn.Module,
    inputs: Sequence[Images],
    format: ExportFormat,
    file: Path,
    precision: str,
) -> FileDifference:
    """The difference over these inputs; raises where it is above the bound of the precision."""
    try:
        with quiet():
            runner = format.open(file)
            pairs = [_outputs(network, runner, images) for images in inputs]
    except (HdapError, OSError):
        raise
    except Exception as error:
        raise failed("the exported network must run", error) from error
    if precision == "int8":
        return _difference_in_int8(pairs)
    largest = max(_checked(wanted, got, precision) for wanted, got in pairs)
    return FileDifference(largest, None)


Outputs = dict[str, Tensor]


def _outputs(network: nn.Module, runner: Runner, images: Images) -> tuple[Outputs, Outputs]:
    """Torch's and the file's for one batch, of the same names and shapes."""
    wanted, got = (named_leaves(call(one, images)) for one in (network, runner))
    if got.keys() != wanted.keys():
        raise UnsupportedModelError(
            f"the exported network must give what torch does, {', '.join(wanted)}, but "
            f"gives {', '.join(got)}; try another format"
        )
    return wanted, got


def _checked(wanted: Outputs, got: Outputs, precision: str) -> float:
    """The largest difference, relative to each output's largest number."""
    bound = BOUNDS[precision]
    largest = 0.0
    for name, expected in wanted.items():
        error = _difference(expected, got[name])
        largest = max(largest, error)
        if not error <= bound:
            raise UnsupportedModelError(
                f"the exported network must compute what torch does, but for a batch "
                f"of {len(expected)} its {name} is {tuple(got[name].shape)} with a relative "
                f"error of {error:.1e} (at most {bound:.0e}); try another format "
                f"or opset"
            )
    return largest


def _difference_in_int8(pairs: Sequence[tuple[Outputs, Outputs]]) -> FileDifference:
    """Over all inputs together: single numbers of one of them may be far off."""
    largest = 0.0
    for name, first in pairs[0][0].items():
        if not first.is_floating_point():
            continue  # classes and masks turn over at a rounding
        wanted = torch.cat([one[name].double().flatten() for one, _ in pairs])
        got = torch.cat([other[name].double().flatten() for _, other in pairs])
        error = math.inf
        if got.shape == wanted.shape:
            error = float((got - wanted).norm()) / (float(wanted.norm()) or 1.0)
        largest = max(largest, error)
        if not error <= BOUNDS["int8"]:
            raise UnsupportedModelError(
                f"the network in int8 must stay near torch's, but its {name} is off by "
                f"{error:.0%} (root mean square, at most {BOUNDS['int8']:.0%}); calibrate with "
                "--data, or use --precision float32"
            )
    return FileDifference(largest, _agreement(pairs))


def _agreement(pairs: Sequence[tuple[Outputs, Outputs]]) -> float | None:
    """The share of inputs for which both choose the same class, where there are classes."""
    if any(len(one) > 1 or next(iter(one.values())).ndim != 2 for one, _ in pairs):
        return None
    same = [
        (next(iter(one.values())).argmax(1) == next(iter(other.values())).argmax(1)).double()
        for one, other in pairs
    ]
    return float(torch.cat(same).mean())


def _difference(expected: Tensor, got: Tensor) -> float:
    """The largest difference of two outputs, classes and masks too; infinite for another shape."""
    if got.shape != expected.shape:
        return math.inf
    if not expected.numel():
        return 0.0
    one, other = (x if x.is_complex() else x.double() for x in (expected, got))
    return float((other - one).abs().max()) / (float(one.abs().max()) or 1.0)
