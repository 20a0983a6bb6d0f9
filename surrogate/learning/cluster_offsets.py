"""How slow a cluster is that never measured this model: what the clustering says of it."""

import numpy as np

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats


def filled_offsets(level: Floats, relative_latency: Floats) -> Floats:
    """Log levels (K) with NaN replaced by the others' mean level, moved by relative latency.

    Raises NotEnoughDataError where no cluster has a level.
    """
    known = np.isfinite(level)
    if not known.any():
        raise NotEnoughDataError("at least one cluster must have measurements, but none has")
    relative = np.log(relative_latency)
    typical = float((level[known] - relative[known]).mean())
    return np.where(known, level, typical + relative)
