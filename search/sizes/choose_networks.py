"""The best few of networks that exist already, for devices that share a deadline."""

import numpy as np

from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Floats, Ints
from hdap.fleet_data.wording import percent
from hdap.search.exact.best_parts import best_parts
from hdap.search.sizes.device_speeds import DeviceSpeeds
from hdap.surrogate.models.base import Prediction


def choose_networks(
    devices: DeviceSpeeds,
    seen: Prediction,
    kept: Floats,
    deadline_ms: float,
    networks: int,
    share: float = 0.95,
    confidence: float = 0.95,
) -> Ints:
    """At most `networks` of m candidates (`seen`: m x K, `kept`: m), the one that keeps most first.

    Levels of an elastic network, variants of a portfolio, measured configurations: a share of the
    devices must be in time with one of the chosen, and the average device keep most. Exact where
    whoever runs a network in time runs every one in time that keeps less. Raises InfeasibleError
    where no candidate is in time on so many devices.
    """
    order = np.argsort(-kept, kind="stable")
    reached = np.array(
        [
            devices.weight[devices.probabilities(seen, row, deadline_ms) >= confidence].sum()
            for row in order.tolist()
        ]
    )
    before = np.append(0.0, np.maximum.accumulate(reached)[:-1])
    chain = np.flatnonzero(reached > before)
    enough = np.flatnonzero(reached[chain] >= share - 1e-9)
    if not len(enough):
        raise InfeasibleError(
            f"{percent(share)} of the fleet must be in time with one of the networks, but the "
            f"fastest of {len(kept)} reaches {percent(float(reached.max(initial=0.0)))}: add a "
            f"smaller one, or raise --latency"
        )
    chain = chain[: enough[0] + 1]
    gained = np.diff(reached[chain], prepend=0.0)
    parts = best_parts(gained, kept[order[chain]], networks)
    found: Ints = order[chain[[end - 1 for _, end in parts]]]
    return found
