"""No configuration is a trial twice: which ones a study has, and others in the place of repeats."""

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.problem.search_problem import SearchProblem

ROUNDS = 12
"""Each looks a little further from a repeated proposal."""
NEAR = 16
"""Configurations that a round looks at."""


class ConfigurationSet:
    """Configurations (`groups`), each once."""

    def __init__(self, counts: Counts | None = None) -> None:
        self._rows: set[bytes] = set()
        if counts is not None:
            self.add(counts)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, counts: Counts) -> Bools:
        """Take in `n x groups`; which of them are new, the first of equal ones."""
        before = len(self._rows)
        new = np.zeros(len(counts), dtype=np.bool_)
        for place, row in enumerate(np.ascontiguousarray(counts, dtype=np.int64)):
            self._rows.add(row.tobytes())
            new[place], before = len(self._rows) > before, len(self._rows)
        return new

    def lacks(self, counts: Counts) -> Bools:
        """Which of `n x groups` are not among them."""
        rows = np.ascontiguousarray(counts, dtype=np.int64)
        return np.array([row.tobytes() not in self._rows for row in rows], dtype=np.bool_)


class Unseen:
    """Knows the configurations of a study, and one near each that is proposed again.

    What it does follows from `seed` and the number of configurations it knows, so a study that goes
    on needs no state of it.
    """

    def __init__(self, problem: SearchProblem, seed: int) -> None:
        self.problem, self.seed = problem, seed
        self._known = ConfigurationSet()
        self._counted, self._left = -1, 0

    def note(self, counts: Counts) -> None:
        """Configurations (`n x groups`) that the study has."""
        self._known.add(counts)

    @property
    def left(self) -> int | None:
        """How many configurations of the band the study lacks, where it is known."""
        every = self.problem.every
        if every is not None and self._counted != len(self._known):
            self._counted, self._left = len(self._known), int(self._known.lacks(every).sum())
        return None if every is None else self._left

    def replaced(self, proposed: Counts) -> tuple[Ints, Counts]:
        """New configurations near the proposals that are none (`m x groups`), and which rows of
        both, one after the other, are the study's next trials, in the order of the proposals.

        Where none was found there are fewer. All of them are noted.
        """
        n, order, near = len(proposed), list[int](), list[Counts]()
        for place, row in enumerate(proposed):
            if self._known.add(row[None])[0]:
                order.append(place)
            elif (found := self._near(row)) is not None:
                order.append(n + len(near))
                near.append(found)
        return np.array(order, dtype=np.int64), np.stack(near) if near else proposed[:0]

    def _near(self, repeated: Counts) -> Counts | None:
        every = self.problem.every
        found = self._around(repeated) if every is None else self._nearest(repeated, every)
        if found is not None:
            self._known.add(found[None])
        return found

    def _nearest(self, repeated: Counts, every: Counts) -> Counts | None:
        left = every[self._known.lacks(every)]
        if not len(left):
            return None
        away: Floats = np.abs((left - repeated) / self.problem.space.widest).sum(axis=1)
        found: Counts = left[away.argmin()]
        return found

    def _around(self, repeated: Counts) -> Counts | None:
        space, rng = self.problem.space, np.random.default_rng([self.seed, len(self._known)])
        index, free = space.index(repeated[None]), space.free
        for further in range(1, ROUNDS + 1):
            moving = rng.random((NEAR, len(free))) < (1.0 + further) / len(free)
            reach = rng.integers(1, further + 1, size=moving.shape) * rng.choice(
                [-1, 1], size=moving.shape
            )
            moved = np.repeat(index, NEAR, axis=0)
            moved[:, free] += np.where(moving, reach, 0)
            rows = self.problem.repair(space.counts(np.clip(moved, 0, space.sizes - 1)))
            new = rows[self._known.lacks(rows)]
            if len(new):
                found: Counts = new[0]
                return found
        return None
