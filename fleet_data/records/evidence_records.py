"""What a fit showed of itself, kept for whoever reads of it later."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeldOutRecord:
    """One cell (cluster x configuration): what surrogates said that never saw the configuration.

    `flops` are the configuration's; `measured_ms` is the median of `rows` on the cluster's typical
    device, `predicted_ms` lies in the calibrated 90 % interval `low_ms` to `high_ms`.
    """

    clustering_id: int
    model: str
    kind: str
    cluster: int
    flops: int
    rows: int
    measured_ms: float
    predicted_ms: float
    low_ms: float
    high_ms: float

    @property
    def error(self) -> float:
        """Predicted over measured, minus 1."""
        return self.predicted_ms / self.measured_ms - 1.0

    @property
    def inside(self) -> bool:
        """Whether what was measured lies in the interval."""
        return self.low_ms <= self.measured_ms <= self.high_ms


@dataclass(frozen=True)
class LearningRecord:
    """Mean held-out `error` (a fraction) of surrogates that learned from at most `rows` pruned
    measurements a cluster."""

    clustering_id: int
    model: str
    kind: str
    rows: int
    error: float
