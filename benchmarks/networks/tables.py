"""What a run found: shares by family, and refusals and failures by reason."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median

from benchmarks.networks.rows import Proof, Rival, Row, Written
from hdap.fleet_data.wording import UNKNOWN, percent, seconds

_HEADS = (
    ("", -32), ("networks", 9), ("accepted", 16), ("exact", 10), ("can go", 8), (">= half", 10),
    ("at half", 8), ("median s", 9), ("worst s", 8), ("T-P works", 16), ("exact", 10),
    ("at half", 8),
    ("median s", 9), ("worst s", 8),
)  # fmt: skip
_SHOWN = 90
_LEAST_FREE = 0.5
_NUMBERS = r"(?<![A-Za-z])\d+(?:[., x]+\d+)*(?:e[-+]?\d+)?"
_SILENT = "exact, but only if what is gone is zero"


def line_of(row: Row) -> str:
    """One network, as it is done."""
    traced = row.traced
    if traced.accepted:
        figures = f"{percent(1 - traced.smallest)} can go, {percent(1 - traced.half)} at half"
        ours = f"accepted, {figures}, {seconds(traced.seconds)}, {_exactness(row)}"
    else:
        what = "FAULT" if traced.fault else "refused"
        ours = f"{what} after {seconds(traced.seconds)}: {traced.refusal}"
    rival = row.rival
    theirs = rival.failure or (
        f"{percent(1 - rival.half)} at half, {seconds(rival.seconds)}, "
        + (f"NOT EXACT: {rival.wrong}" if rival.wrong else "exact")
    )
    return f"{row.label} ({row.name}): {ours} | Torch-Pruning: {theirs}"


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """All tables as lines."""
    families: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        families[row.family].append(row)
    yield ""
    yield "Shares of FLOPs and seconds are medians over the networks that are accepted (that work);"
    yield "`can go`: with every width group at its least; `exact`: of those accepted; `>= half`: at"
    yield "least half of their FLOPs can go."
    yield _cells([name for name, _ in _HEADS])
    for family, own in families.items():
        yield _cells(_summary(family, own))
    if len(families) > 1:
        yield _cells(_summary("all", rows))
    both = [row for row in rows if row.traced.accepted and not row.rival.failure]
    if both:
        ours, theirs = (_middle(r) for r in ([*map(_half, both)], [1 - x.rival.half for x in both]))
        yield f"at half, the {len(both)} that both prune: {ours}, Torch-Pruning {theirs}"
    unmoved = sum(r.proof is not None and not r.proof.wrong and r.proof.moved < 1e-3 for r in rows)
    yield f"proofs in which masking moved the outputs by less than 0.1 %: {unmoved}"
    for title, fault in (("tracebacks, ends by time or memory", True), ("refused", False)):
        own = [row for row in rows if row.traced.fault == fault]
        yield from _reasons(title, ((row.traced.refusal, row.label) for row in own))
    yield from _reasons("not quite exact", ((_doubt(r.proof), r.label) for r in rows if r.proof))
    yield from _reasons(
        "Torch-Pruning is not quite exact", ((_doubt(r.rival), r.label) for r in rows)
    )
    yield from _reasons("Torch-Pruning fails", ((r.rival.failure, r.label) for r in rows))


def export_lines(written: Iterable[Written]) -> Iterator[str]:
    """What was exported."""
    yield "\nONNX, pruned to half, against torch (relative to the largest output)"
    for one in written:
        yield f"  {one.label}: {one.failure or f'{one.error:.1e}'}, {seconds(one.seconds)}"


def reason(message: str) -> str:
    """A message without what is of one network: names of layers, numbers."""
    text = re.sub(r"`[^`]*`", "_", message)
    text = re.sub(r" \([\w.]+(, [\w.]+)*\)(?= that)", "", text)  # layers that it may be
    text = re.sub(_NUMBERS, "N", text)
    return text.removesuffix("; use another model or rewrite this layer")


def _exactness(row: Row) -> str:
    if row.proof is None:
        return "not proved"
    return f"NOT EXACT: {row.proof.wrong}" if row.proof.wrong else "exact"


def _doubt(found: Proof | Rival) -> str:
    return found.wrong or (_SILENT if found.silent else "")


def _free(accepted: Sequence[Row]) -> int:
    """Of how many at least half of the FLOPs can go."""
    return sum(1 - row.traced.smallest >= _LEAST_FREE for row in accepted)


def _half(row: Row) -> float:
    return 1 - row.traced.half


def _summary(name: str, rows: Sequence[Row]) -> list[str]:
    accepted = [row for row in rows if row.traced.accepted]
    exact = [row for row in accepted if row.proof is not None and not row.proof.wrong]
    works = [row for row in rows if not row.rival.failure]
    return [
        name,
        str(len(rows)),
        _share(len(accepted), len(rows)),
        f"{len(exact)} of {len(accepted)}",
        _middle([1 - row.traced.smallest for row in accepted]),
        f"{_free(accepted)} of {len(accepted)}",
        _middle([*map(_half, accepted)]),
        *_times([row.traced.seconds for row in accepted]),
        _share(len(works), len(rows)),
        f"{sum(not row.rival.wrong for row in works)} of {len(works)}",
        _middle([1 - row.rival.half for row in works]),
        *_times([row.rival.seconds for row in works]),
    ]


def _share(count: int, of: int) -> str:
    return f"{count} ({percent(count / of)})"


def _middle(values: Sequence[float]) -> str:
    return percent(median(values)) if values else UNKNOWN


def _times(values: Sequence[float]) -> Iterator[str]:
    choices: tuple[Callable[[Sequence[float]], float], ...] = (median, max)
    return (f"{choose(values):.2f}" if values else UNKNOWN for choose in choices)


def _cells(cells: Sequence[str]) -> str:
    return "".join(
        f"{cell:<{-size}}" if size < 0 else f"{cell:>{size}}"
        for cell, (_, size) in zip(cells, _HEADS, strict=True)
    )


def _reasons(title: str, messages: Iterable[tuple[str, str]]) -> Iterator[str]:
    labels: dict[str, list[str]] = defaultdict(list)
    for message, label in messages:
        if message:
            labels[reason(message)].append(label)
    yield f"\n{title}: {sum(map(len, labels.values()))}"
    counts = Counter({text: len(of) for text, of in labels.items()})
    for text, count in counts.most_common():
        yield f"{count:>5}  {text}"
        named = ", ".join(labels[text])
        yield f"       {named if len(named) <= _SHOWN else named[:_SHOWN] + ' ...'}"
