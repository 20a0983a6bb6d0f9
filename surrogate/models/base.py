"""The latency functions of all clusters of a fleet, as everything above sees them."""

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self
from zipfile import BadZipFile

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats
from hdap.surrogate.context.context_effect import Context, ContextRange

if TYPE_CHECKING:
    from hdap.surrogate.training_data.training_cells import TrainingData

Z90 = 1.6448536269514722
"""Half width of a 90 % interval in standard deviations of a normal distribution."""


@dataclass(frozen=True)
class Prediction:
    """Predicted latencies of n configurations on K clusters, all `n x K`.

    `log_ms` is the natural logarithm of the median latency in milliseconds, `log_sd` the standard
    deviation of what a measured median may differ by, model error included.
    """

    log_ms: Floats
    log_sd: Floats

    @cached_property
    def ms(self) -> Floats:
        """Latency in milliseconds."""
        return np.exp(self.log_ms)

    @cached_property
    def low_ms(self) -> Floats:
        """Lower end of the 90 % interval."""
        return np.exp(self.log_ms - Z90 * self.log_sd)

    @cached_property
    def high_ms(self) -> Floats:
        """Upper end of the 90 % interval."""
        return np.exp(self.log_ms + Z90 * self.log_sd)


class FleetSurrogate(ABC):
    """The latency functions of the K clusters of a fleet for one architecture.

    Immutable once fitted and safe to share between threads. Predictions are pure: the same counts
    give the same numbers, in any batch. They hold for the typical device of a cluster at the
    batch size of the training data, in what its devices run. `payloads` gives one self-contained
    byte string a cluster, which loads without executing code. `steps` holds for each cluster the
    grid of channel counts that its latencies show to pay, `step` the one that serves the whole
    fleet.
    """

    kind: ClassVar[str]

    def __init__(self, architecture: Architecture, steps: tuple[int, ...], step: int) -> None:
        self.architecture = architecture
        self.steps = steps
        self.step = step

    @property
    def clusters(self) -> int:
        """K."""
        return len(self.steps)

    @property
    def context_range(self) -> tuple[ContextRange, ...]:
        """What was seen of each cluster's clock (K); empty where none was ever reported or the kind
        does not learn from it."""
        return ()

    def predict(self, counts: Counts, context: Context | None = None) -> Prediction:
        """Latencies of n configurations: `n x groups` -> `n x K`.

        Without `context` in each cluster's typical one. Raises InputError where the shape does not
        fit, a count is not positive or nothing is known about such a context.
        """
        matrix = np.asarray(counts)
        groups = len(self.architecture.groups)
        if matrix.ndim != 2 or matrix.shape[1] != groups:
            raise InputError(
                f"counts must be a matrix with one column for each of the {groups} width groups "
                f"of {self.architecture.model}, but got {matrix.shape=}"
            )
        if matrix.size and matrix.min() < 1:
            raise InputError(f"counts must be at least 1, but got {matrix.min()=}")
        if context is None or context.typical:
            return self._predict(matrix)
        return self._predict_in(matrix, context)

    @classmethod
    @abstractmethod
    def fit(cls, data: "TrainingData", seed: int = 0) -> Self:
        """Learn the latency functions; deterministic for a seed.

        Raises NotEnoughDataError where the data holds too few pruned configurations.
        """

    @abstractmethod
    def calibrated(self, factors: Floats) -> Self:
        """The same with each cluster's `log_sd` times its factor (K)."""

    @abstractmethod
    def payloads(self) -> tuple[bytes, ...]:
        """One self-contained byte string a cluster."""

    @classmethod
    @abstractmethod
    def from_payloads(cls, architecture: Architecture, payloads: tuple[bytes, ...]) -> Self:
        """Inverse of `payloads`. Raises InputError for bytes that are no such payload."""

    @abstractmethod
    def _predict(self, counts: Counts) -> Prediction: ...

    def _predict_in(self, counts: Counts, context: Context) -> Prediction:
        """As `_predict`, in a context that is not the typical one."""
        raise InputError(
            "to ask what if, surrogates must be of kind `fleet` and have learned from rows that "
            f"report their clock, but this one of {self.architecture.model} is of kind "
            f"`{self.kind}` and knows no clock; load rows with `cpu_freq_mhz`: hdap ingest"
        )


def fleet_step(steps: tuple[int, ...], shares: Floats) -> int:
    """The grid for the whole fleet: the step that the largest share of the weight asks for, the
    larger one at a tie (`shares`: K)."""
    weights: dict[int, float] = {}
    for step, share in zip(steps, shares, strict=True):
        weights[step] = weights.get(step, 0.0) + float(share)
    return max(weights, key=lambda s: (weights[s], s))


FORMAT = 2
READABLE = (1, 2)
"""Format 2 may hold what context does; format 1 never did."""


def pack(kind: str, arrays: Mapping[str, Any]) -> bytes:
    """Arrays and numbers of one cluster's surrogate as a compressed archive."""
    buffer = io.BytesIO()
    named: dict[str, Any] = {k: np.asarray(v) for k, v in arrays.items()}
    np.savez_compressed(buffer, kind=np.array(kind), format=np.array(FORMAT), **named)
    return buffer.getvalue()


def kind_of(payload: bytes) -> str:
    """The kind that a payload says it is of; "" where it is none."""
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            return str(archive["kind"])
    except (BadZipFile, KeyError, OSError, ValueError, EOFError):
        return ""


def unpack(
    kind: str, payload: bytes, names: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Inverse of `pack` for the named arrays, and those of `optional` that are there.

    Raises InputError for anything else.
    """
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            found, version = str(archive["kind"]), int(archive["format"])
            if found == kind and version in READABLE:
                there = [name for name in optional if name in archive]
                return {name: archive[name] for name in (*names, *there)}
    except (BadZipFile, KeyError, OSError, ValueError, EOFError) as error:
        raise InputError(
            f"a stored surrogate must be an archive of kind `{kind}`, but it does not read as one "
            f"({error}); fit again: hdap fit"
        ) from error
    raise InputError(
        f"a stored surrogate must be of kind `{kind}` and a format of {READABLE}, but got "
        f"{found=} {version=}; fit again: hdap fit"
    )
