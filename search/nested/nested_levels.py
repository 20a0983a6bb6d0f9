"""A nested chain of configurations: the levels of one elastic network for all operating points.

Level i has in every width group at most as many channels as level i + 1, so one set of weights
holds all of them. Points are put in order of how much they demand; k levels serve k neighbouring
groups of them, each with the most importance that the hardest point of its group allows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.wording import kept
from hdap.search.nested.chain_search import ChainSearch
from hdap.search.nested.nested_chain import Chain, NestedRequest


@dataclass(frozen=True)
class Nested:
    """Chains by number of levels, and how many `advised`; `alone` is the mean kept importance that
    a uniformly pruned network for each point would have."""

    chains: tuple[Chain, ...]
    advised: int
    threshold: float
    alone: float

    @property
    def chosen(self) -> Chain:
        """The advised chain."""
        return next(chain for chain in self.chains if len(chain) == self.advised)

    @property
    def words(self) -> str:
        """The advice in one line."""
        needed = f"one more must keep {kept(self.threshold)} more on average"
        later = [chain for chain in self.chains if len(chain) > self.advised]
        told = f"{self.advised} level{'s' * (self.advised != 1)} worth having ({needed}"
        if not later:
            return f"{told}; no more were looked at or would differ)"
        gain = later[0].mean_kept - self.chosen.mean_kept
        return f"{told}; {len(later[0])} would keep {kept(gain)} more)"


def nested(request: NestedRequest, progress: Callable[[int, int], None] | None = None) -> Nested:
    """Search chains of `min_levels` to `max_levels` levels and advise how many are worth having.

    Raises:
        InfeasibleError: some cluster meets the target at some clock with no allowed network.
        InputError: the surrogates know nothing of clocks.
    """
    search = ChainSearch(request)
    chains: list[Chain] = []
    for number in range(1, request.max_levels + 1):
        chain = search.chain(number)
        if not chains or len(chain) > len(chains[-1]):
            chains.append(chain)
        if progress:
            progress(number, request.max_levels)
    least = request.min_levels
    while len(chains[-1]) < least and (more := search.with_one_between(chains[-1])) is not None:
        chains.append(more)
    if len(chains[-1]) < least:
        raise InfeasibleError(
            f"the grid must have room for {least} nested levels, but only {len(chains[-1])} "
            f"differ: lower `--min-levels` or `--step`"
        )
    allowed = [chain for chain in chains if len(chain) >= least]
    best = search.refined(_advised(allowed, request.threshold))
    chains = [best if len(chain) == len(best) else chain for chain in chains]
    return Nested(tuple(chains), len(best), request.threshold, search.alone)


def _advised(chains: list[Chain], threshold: float) -> Chain:
    best = chains[0]
    for chain in chains[1:]:
        if chain.mean_kept - best.mean_kept >= threshold:
            best = chain
    return best
