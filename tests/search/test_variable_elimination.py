from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hdap.fleet_data.records import Floats
from hdap.search.exact.variable_elimination import Elimination, Scope, entries


@st.composite
def sums_of_tables(draw: st.DrawFn) -> tuple[list[int], dict[Scope, Floats]]:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    variables = range(len(sizes))
    several = st.sets(st.sampled_from(variables), max_size=3).map(lambda s: tuple(sorted(s)))
    scopes = {(v,) for v in variables} | set(draw(st.lists(several, max_size=6)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return sizes, {s: rng.normal(size=[sizes[v] for v in s]) for s in sorted(scopes)}


@given(sums_of_tables())
def test_nothing_is_less_than_what_elimination_finds(
    case: tuple[list[int], dict[Scope, Floats]],
) -> None:
    sizes, tables = case

    def total(position: tuple[int, ...]) -> float:
        return float(sum(t[tuple(position[v] for v in s)] for s, t in tables.items()))

    elimination = Elimination(np.array(sizes), sorted(tables))
    found = elimination.least(tables)
    least = min(total(position) for position in product(*map(range, sizes)))
    assert np.isclose(total(tuple(found.tolist())), least)


def test_a_chain_is_looked_at_pair_by_pair_however_long_it_is() -> None:
    scopes: list[Scope] = [(v,) for v in range(100)]
    scopes += [(v, v + 1) for v in range(99)]
    assert Elimination(np.full(100, 10), scopes).entries == 99 * 100 + 10


def test_entries_are_counted_beyond_64_bits() -> None:
    assert entries(np.full(40, 1000), tuple(range(40))) == 1000**40
