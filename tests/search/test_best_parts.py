from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hdap.search.exact.best_parts import best_parts

things = st.lists(st.tuples(st.floats(0.01, 5.0), st.floats(0.0, 1.0)), min_size=1, max_size=7)


def worth(weight: list[float], value: list[float], parts: list[tuple[int, int]]) -> float:
    return sum(sum(weight[a:b]) * value[b - 1] for a, b in parts)


@given(things, st.integers(1, 9))
def test_no_other_cut_is_worth_more(line: list[tuple[float, float]], number: int) -> None:
    weight = [w for w, _ in line]
    value = sorted((v for _, v in line), reverse=True)
    found = best_parts(np.array(weight), np.array(value), number)
    assert [a for a, _ in found[1:]] == [b for _, b in found[:-1]]
    assert (found[0][0], found[-1][1]) == (0, len(line))
    assert len(found) <= number
    best = max(
        worth(weight, value, list(zip((0, *cut), (*cut, len(line)), strict=True)))
        for size in range(min(number, len(line)))
        for cut in combinations(range(1, len(line)), size)
    )
    assert worth(weight, value, found) >= best - 1e-9
