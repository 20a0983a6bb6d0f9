"""A chain of configurations, each a prefix of the next. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hdap.elastic.level_file import LevelFile, read_level_file
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.costs import check_counts, flops
from hdap.fleet_data.documents import parse_json
from hdap.fleet_data.errors import InputError
from hdap.search.nested.nested_chain import require_nested
from hdap.search.problem.budget import parse_flops
from hdap.search.problem.uniform import RATIOS


@dataclass(frozen=True, eq=False)
class Levels:
    """`counts` is `levels x groups`, the narrowest level first.

    Raises `InputError` when a count is not valid, when two levels are the same, or when a level is
    not a prefix of the next: the group and both counts are named.
    """

    architecture: Architecture
    counts: Counts

    def __post_init__(self) -> None:
        rows = np.atleast_2d(np.asarray(self.counts))
        object.__setattr__(self, "counts", check_counts(self.architecture, rows))
        require_nested(self.counts, tuple(group.name for group in self.architecture.groups))

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def flops(self) -> Counts:
        """FLOPs of each level."""
        return flops(self.architecture, self.counts)

    def covering(self, counts: Counts) -> int:
        """The narrowest level that has all channels of a configuration (`groups`).

        Raises `InputError` when the widest level has not, with the group.
        """
        row = check_counts(self.architecture, np.atleast_2d(counts))[0]
        beyond = np.flatnonzero(row > self.counts[-1])
        if len(beyond):
            group = self.architecture.groups[beyond[0]]
            raise InputError(
                "a configuration must lie within the widest level, which keeps "
                f"{self.counts[-1][beyond[0]]} channels of `{group.name}`, but got "
                f"{row[beyond[0]]}; lower it, or train with a wider level"
            )
        return int(np.flatnonzero((row <= self.counts).all(axis=1))[0])


def uniform_levels(architecture: Architecture, budgets: Sequence[str]) -> Levels:
    """One level a budget (`25%`, `1.0G`), every group at the same share, widest that fits.

    Raises `InputError` or `InfeasibleError` for a budget that is none or that nothing meets.
    """
    dense = int(flops(architecture, architecture.widths[None])[0])
    ratios = np.linspace(1.0 / RATIOS, 1.0, RATIOS)
    places = np.rint(ratios[:, None] * (architecture.widths // architecture.multiples))
    ladder = (np.maximum(places, 1) * architecture.multiples).astype(np.int64)
    costs = flops(architecture, ladder)
    wanted = sorted(parse_flops(budget, dense) for budget in budgets)
    rows = [int((costs <= most).sum()) - 1 for most in wanted]
    if not rows or min(rows) < 0:
        least = costs[0] / dense
        raise InputError(
            f"budgets of levels must be at least {100 * least:.2g}%, one channel a group, but got "
            f"{', '.join(budgets) or 'none'}; raise the lowest"
        )
    return Levels(architecture, ladder[rows])


def read_levels(architecture: Architecture, file: Path) -> Levels:
    """Levels from a file of `hdap elastic plan`, or from a list in JSON, the narrowest first.

    The list stands alone or under `levels`. A level is a text (`conv1=56;...`) or an object of
    counts by group, alone or under `channels`; groups that are left out keep all channels. Raises
    `InputError` with the rule that is broken.
    """
    remedy = "make one: hdap elastic plan"
    try:
        found = parse_json(file.read_bytes(), f"`--levels` {file}", remedy)
    except OSError as error:
        raise InputError(
            f"`--levels` must be a JSON file, but reading {file} failed: {error}; {remedy}"
        ) from error
    if isinstance(found, dict) and found.get("kind") == LevelFile.KIND:
        return Levels(architecture, read_level_file(file, architecture).counts)
    entries = found.get("levels") if isinstance(found, dict) else found
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{file.name} must hold a list of levels, alone or under `levels`")
    parsed = parse_channels(architecture, [_text(file, entry) for entry in entries])
    for level, wrong in enumerate(parsed.errors):
        if wrong is not None:
            raise InputError(f"level {level} of {file.name} must be a configuration, but {wrong}")
    return Levels(architecture, parsed.counts)


def _text(file: Path, entry: Any) -> str:
    if isinstance(entry, dict):
        entry = entry.get("channels", entry)
    if isinstance(entry, dict):
        return ";".join(f"{name}={count}" for name, count in entry.items())
    if not isinstance(entry, str):
        raise InputError(
            f"a level in {file.name} must be a text or an object, but is {str(entry)[:40]!r}"
        )
    return entry
