"""How much evidence there is, and what each part of it is called."""

from dataclasses import dataclass, replace

from benchmarks.quality.frontier_plan import NETWORKS, TUNING_RECIPE
from hdap.requests.recipe import Recipe
from hdap.workflows.accuracy_evaluator import TUNING

SHORT, LONG, AGAIN = "short", "long", "again"
"""A tuning to learn from, the one to foretell, and that one with another seed."""


@dataclass(frozen=True)
class Settings:
    """How much of everything. The latency is what uniform pruning in multiples of 8 is predicted to
    take at `share` of the dense FLOPs. Images after the first `long` are seen in no tuning: `held`
    of them judge what is known before, the 10,000 of the test part judge the truth."""

    networks: tuple[str, ...] = NETWORKS
    seeds: int = 2
    share: float = 0.3
    configurations: int = 20
    again: int = 2
    short: int = 10_000
    long: int = 40_000
    held: int = 5_000
    judged: int = 10_000
    measured: int = 60
    seconds: float = 0.25
    dense_images: int = 50_000
    dense_epochs: int = 5

    def recipe(self, way: str, seed: int) -> Recipe:
        """One epoch: of `short` images as `hdap search --tunings` does it, or of `long` ones."""
        if way == SHORT:
            return replace(TUNING, recalibration=TUNING_RECIPE.recalibration, seed=1000 + seed)
        return replace(TUNING_RECIPE, epochs=1, seed={LONG: 2000, AGAIN: 3000}[way] + seed)

    def images(self, way: str) -> int:
        """Images that a tuning learns from."""
        return self.short if way == SHORT else self.long


QUICK = Settings(
    networks=NETWORKS[:1],
    seeds=1,
    configurations=8,
    again=1,
    short=512,
    long=1_024,
    held=500,
    judged=500,
    measured=16,
    seconds=0.05,
    dense_images=2_048,
    dense_epochs=1,
)


@dataclass(frozen=True)
class Place:
    """A network and a seed, which decides its weights and what is drawn."""

    network: str
    seed: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"evidence/{self.network}-{self.seed}"
