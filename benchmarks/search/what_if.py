"""What if devices ran at another clock: each measured kind left out and foretold by the others.

    python -m benchmarks.search.what_if

Clusters are left out one after the other; each of the others is asked what it would take at the
clock of the one left out. Figures are errors on all of its measured configurations, in percent:
of ours, of ours were the clock ignored, of `1 / clock`, and how many lie in the 90 % interval.
All latencies are measured.
"""

import numpy as np

from benchmarks.fleet.measured_fleets import MICROFLEETS
from benchmarks.fleet.surrogates import fleet_data
from hdap.surrogate.context.context_effect import Context
from hdap.surrogate.models.base import Z90
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.training_data.training_cells import TrainingData

COLUMN = "cpu_freq_mhz"
HEADER = (
    f"{'left out':<22}{'asked':<8}{'clock':>6}{'ours':>8}{'ignored':>8}{'1/clock':>8}{'inside':>7}"
)


def main() -> None:
    for model in MICROFLEETS:
        data = fleet_data(model)
        print(f"\n{model}: all latencies measured")
        print(HEADER)
        for cluster in range(data.clusters):
            left_out(data, cluster)


def left_out(data: TrainingData, cluster: int) -> None:
    """One line for each of the other clusters."""
    mine = data.cluster == cluster
    surrogate = FleetModel.fit(data.at(~mine))
    cells = data.at(mine).cells
    clock = float(np.nanmedian(data.context[COLUMN][mine]))
    for asked in range(data.clusters):
        if asked == cluster:
            continue
        scale = clock / surrogate.context_range[asked].typical
        found = surrogate.predict(cells.counts, Context(clock_scale=scale))
        plain = surrogate.predict(cells.counts).log_ms[:, asked] - cells.log_ms
        error = found.log_ms[:, asked] - cells.log_ms
        inside = (np.abs(error) <= Z90 * found.log_sd[:, asked]).mean()
        each = (_percent(e) for e in (error, plain, plain - np.log(scale)))
        print(
            f"cluster {cluster} ({clock:,.0f} MHz)".ljust(22)
            + f"{asked:<8}{scale:>6.2f}"
            + "".join(f"{e:>8.1f}" for e in each)
            + f"{100 * inside:>7.0f}"
        )


def _percent(log_error: np.ndarray) -> float:
    return float(100 * np.abs(np.expm1(log_error)).mean())


if __name__ == "__main__":
    main()
