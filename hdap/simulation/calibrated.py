"""The constants that ship with hdap, and how well they fitted what was measured."""

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files

from hdap.simulation.law import LatencyLaw
from hdap.simulation.noise import Noise

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
class Calibration:
    """A fitted law, the noise of each kind, and how well the law predicts held-out rows.

    `residual_quantiles` are those of log(measured / predicted) at 5, 25, 50, 75 and 95 %.
    """

    law: LatencyLaw
    noise: dict[str, Noise]
    fits: tuple[KindFit, ...]
    residual_quantiles: dict[str, tuple[float, ...]]
    held_out_share: float
    seed: int

    def to_json(self) -> str:
        """JSON for people to read; `calibrated` reads its law and noise back."""
        about = {"made_with": MADE_WITH, **asdict(self)}
        return json.dumps(_rounded(about), indent=1) + "\n"


@lru_cache(maxsize=1)
def calibrated() -> Calibration:
    """The constants that ship with hdap, as `benchmarks.fleet.simulation --calibrate` wrote
    them."""
    raw = json.loads(files("hdap.simulation").joinpath("calibrated.json").read_text())
    return Calibration(
        LatencyLaw(**raw["law"]),
        {kind: Noise(**noise) for kind, noise in raw["noise"].items()},
        tuple(KindFit(**fit) for fit in raw["fits"]),
        {model: tuple(values) for model, values in raw["residual_quantiles"].items()},
        raw["held_out_share"],
        raw["seed"],
    )


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
