"""The constants that ship with hdap, and how well they fitted what was measured."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hdap.fleet_data.documents import JsonDocument, from_plain, read_document, write_document
from hdap.simulation.law import LatencyLaw, Noise

MADE_WITH = "python -m benchmarks.fleet.simulation --calibrate"


@dataclass(frozen=True, slots=True)
class KindFit:
    """Fit on held-out configurations of one kind of device: errors as fractions.

    `error` is the mean relative error, `centred` the same with each device's own median error taken
    out, `flops_error` that of the plain base line (time proportional to FLOPs) in the same rows.
    """

    model: str
    kind: str
    rows: int
    error: float
    centred: float
    flops_error: float
    spearman: float


@dataclass(frozen=True)
class Calibration(JsonDocument):
    """A fitted law, the noise of each kind, and how well the law predicts held-out rows.

    `residual_quantiles` are those of log(measured / predicted) at 5, 25, 50, 75 and 95 %.
    """

    WHAT = "the constants of the simulation"
    REMEDY = f"make them again: {MADE_WITH}"

    law: LatencyLaw
    noise: dict[str, Noise]
    fits: tuple[KindFit, ...]
    residual_quantiles: dict[str, tuple[float, ...]]
    held_out_share: float
    seed: int
    made_with: str = MADE_WITH

    def write(self, path: Path) -> None:
        """Write it for people to read, with four digits; `calibrated` reads it."""
        write_document(path, from_plain(_rounded(self.plain()), Calibration, str(path), ""))


@lru_cache(maxsize=1)
def calibrated() -> Calibration:
    """The constants that ship with hdap, as `Calibration.write` wrote them."""
    return read_document(Path(__file__).with_name("calibrated.json"), Calibration)


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
