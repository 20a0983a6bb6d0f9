"""Which networks that people ship are accepted, how much of each is free, is it exact, how long.

Every network is traced, pruned for real at random and held against what was promised, and given to
Torch-Pruning's own pruner, each in a process of its own. The exit status is 1 when one that was
accepted is not exact, or one ended in something other than an answer.
"""

import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.networks.processes import Limits, in_own_process
from benchmarks.networks.rival import rival
from benchmarks.networks.rows import Lines, Proof, Rival, Row, Traced, Written
from benchmarks.networks.shipped import (
    SAMPLE,
    TIMM,
    Network,
    in_sample,
    others,
    smallest,
    timm_modules,
)
from benchmarks.networks.stages import exported, proved, traced
from benchmarks.networks.tables import export_lines, line_of, tables

CHOICE = Limits(seconds=600.0)
"""A timm module has up to a hundred and fifty networks."""


def main(
    only: Annotated[str, typer.Option(help="Only what has this in its FAMILY/NAME.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Networks at a time.")] = 1,
    work: Annotated[Path | None, typer.Option(help="Keep rows here, and go on from them.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="The cases and 16 others.")] = False,
    export: Annotated[int, typer.Option(min=0, help="ONNX of so many, all families.")] = 0,
    limit: Annotated[float, typer.Option(help="Seconds a process.")] = Limits().seconds,
    memory: Annotated[float, typer.Option(help="GiB a process.")] = Limits().memory / 2**30,
) -> None:
    """Ask every network, print a line as each is done, then tables."""
    limits = Limits(limit, int(memory * 2**30))
    with tempfile.TemporaryDirectory(prefix="hdap-networks-") as nowhere:
        folder = work or Path(nowhere)
        folder.mkdir(parents=True, exist_ok=True)
        networks = [
            network
            for network in chosen(folder, only, sample)
            if only in network.label and (not sample or in_sample(network))
        ]
        rows = asked(networks, Lines(folder / "rows.jsonl", Row), jobs, limits)
        print("\n".join(tables(rows)))
        if export:
            files = Lines(folder / "exports.jsonl", Written)
            print("\n".join(export_lines(written(of_all_kinds(rows, export), files, limits))))
    wrong = [row for row in rows if row.traced.fault or (row.proof and row.proof.wrong)]
    sys.exit(bool(wrong))


def chosen(folder: Path, only: str, sample: bool) -> Iterator[Network]:
    """All networks; of a timm module that is wanted the smallest, looked for once a folder."""
    known = Lines(folder / "chosen.jsonl", Network)
    found = {network.origin: network for network in known.rows}
    for module in timm_modules():
        label = f"{TIMM}/{module}"
        if only not in label or (sample and label not in SAMPLE):
            continue
        if module not in found:
            ended = in_own_process(smallest, module, limits=CHOICE)
            if ended.failure:
                print(f"{label}: left out, no network could be chosen: {ended.failure}")
            if ended.value is None:
                continue
            print(f"{label}: the smallest is {ended.value.name}", flush=True)
            found[module] = ended.value
            known.add(ended.value)
        yield found[module]
    yield from others()


def asked(networks: Sequence[Network], known: Lines[Row], jobs: int, limits: Limits) -> list[Row]:
    """A row a network in the order of `networks`; those that are not known yet are asked."""
    done = {row.label: row for row in known.rows}
    waiting = [network for network in networks if network.label not in done]
    with ThreadPoolExecutor(jobs) as pool:
        for future in as_completed(pool.submit(row_of, network, limits) for network in waiting):
            row = future.result()
            known.add(row)
            done[row.label] = row
            print(line_of(row), flush=True)
    return [done[network.label] for network in networks]


def row_of(network: Network, limits: Limits) -> Row:
    """Ask one network everything."""
    answer = in_own_process(traced, network.name, limits=limits)
    trace, description = answer.value or (Traced(answer.seconds, answer.failure, fault=True), "")
    proof = None
    if trace.accepted:
        proof_ended = in_own_process(proved, network.name, description, limits=limits)
        proof = proof_ended.value or Proof(proof_ended.seconds, proof_ended.failure)
    other = in_own_process(rival, network.name, limits=limits)
    theirs = other.value or Rival(other.seconds, other.failure)
    return Row(network.label, network.family, network.name, trace, proof, theirs)


def of_all_kinds(rows: Sequence[Row], count: int) -> list[Row]:
    """So many accepted networks, of one family after the other, drawn of each."""
    families: dict[str, list[Row]] = {}
    for row in rows:
        if row.traced.accepted:
            families.setdefault(row.family, []).append(row)
    for own in families.values():
        random.Random(0).shuffle(own)
    turns = zip_longest(*families.values())
    return [row for turn in turns for row in turn if row is not None][:count]


def written(rows: Sequence[Row], known: Lines[Written], limits: Limits) -> list[Written]:
    """An export of each row, made where it is not known yet."""
    done = {one.label: one for one in known.rows}
    for row in rows:
        if row.label not in done:
            with tempfile.TemporaryDirectory() as folder:
                ended = in_own_process(exported, row.name, Path(folder), limits=limits)
            done[row.label] = Written(row.label, ended.seconds, ended.failure, ended.value or 0.0)
            known.add(done[row.label])
    return [done[row.label] for row in rows]


if __name__ == "__main__":
    typer.run(main)
