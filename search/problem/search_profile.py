"""What a person can check before waiting for a search."""

from dataclasses import dataclass

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.errors import InfeasibleError
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import uniform


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """FLOPs and parameters of one configuration (`groups`) and how it is called."""

    name: str
    counts: Counts
    flops: int
    parameters: int


@dataclass(frozen=True)
class SearchProfile:
    """The space of a search and whether its budget can be met.

    `configurations` are those that meet it where they are few enough to be counted (else None).
    `rows` are the narrowest allowed network, uniform pruning at the budget (left out when the
    budget cannot be met) and the dense model. `obstacle` says in one line why the budget cannot
    be met and what to do; it is empty when it can.
    """

    groups: int
    fixed: int
    step: int
    log10_size: float
    configurations: int | None
    band: FlopsBand
    rows: tuple[ProfileRow, ...]
    obstacle: str

    @property
    def reachable(self) -> bool:
        """Whether some configuration meets the budget."""
        return not self.obstacle


def profile(
    space: SearchSpace,
    band: FlopsBand,
    pruned: Counts | None = None,
    every: Counts | None = None,
) -> SearchProfile:
    """Profile of a search in `space` for the budget `band`; never raises for the budget itself.

    `pruned` is uniform pruning to the budget where that is not one of FLOPs alone; `every` are the
    configurations in the band where they are known.
    """
    obstacle = ""
    named = {"minimum": space.smallest}
    try:
        named["uniform"] = uniform(space, band) if pruned is None else pruned
    except InfeasibleError as error:
        obstacle = str(error)
    named["dense"] = space.architecture.widths
    return SearchProfile(
        groups=len(space.levels),
        fixed=len(space.fixed),
        step=space.step,
        log10_size=space.log10_size,
        configurations=None if every is None else len(every),
        band=band,
        rows=tuple(_row(space, name, counts) for name, counts in named.items()),
        obstacle=obstacle,
    )


def _row(space: SearchSpace, name: str, counts: Counts) -> ProfileRow:
    one = counts[None]
    return ProfileRow(
        name,
        counts,
        int(flops(space.architecture, one)[0]),
        int(parameters(space.architecture, one)[0]),
    )
