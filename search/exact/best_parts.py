"""What a line of things is cut into, so that each part counts as its last: exact."""

import numpy as np

from hdap.fleet_data.records import Floats


def best_parts(weight: Floats, value: Floats, parts: int) -> list[tuple[int, int]]:
    """At most `parts` neighbourhoods `(first, end)` of N things that are worth most together.

    `value` (N) falls along the line; all things of a part count as much as its last, each by its
    `weight` (N). Dynamic programming over where the last part begins (Bellman, 1961), in
    `parts x N^2` steps.
    """
    number = len(weight)
    parts = min(parts, number)
    total = np.append(0.0, np.cumsum(weight))
    best = np.full((parts + 1, number + 1), -np.inf)
    best[0, 0] = 0.0
    back = np.zeros((parts + 1, number + 1), dtype=np.int64)
    for k in range(1, parts + 1):
        for end in range(k, number + 1):
            gains = best[k - 1, :end] + (total[end] - total[:end]) * value[end - 1]
            back[k, end] = int(gains.argmax())
            best[k, end] = gains[back[k, end]]
    found, end = [], number
    for k in range(parts, 0, -1):
        found.append((int(back[k, end]), end))
        end = int(back[k, end])
    return found[::-1]
