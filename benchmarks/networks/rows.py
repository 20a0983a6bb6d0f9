"""What is known of one network, and the file of them: one JSON line a network."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

from hdap.fleet_data.atomic_files import write_file
from hdap.fleet_data.documents import from_plain, parse_json
from hdap.fleet_data.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Traced:
    """Whether hdap accepts a network (`refusal` is empty), and in what time.

    `fault`: it ended in another way than with an answer: a traceback, out of time, killed. Shares
    are of the dense network's FLOPs: `smallest` with every width group at its least count, `half`
    with every one at half.
    """

    seconds: float
    refusal: str = ""
    fault: bool = False
    groups: int = 0
    flops: int = 0
    smallest: float = 1.0
    half: float = 1.0

    @property
    def accepted(self) -> bool:
        """Whether a description was given."""
        return not self.refusal


@dataclass(frozen=True)
class Proof:
    """Whether a network pruned at random is what was promised (`wrong` is empty).

    `error` is the largest difference of its outputs from those of the masked network, `moved` that
    of the masked network from the dense one, both relative to the largest output: where nothing
    moves, nothing is proved. `silent`: they agree only if what is gone is zero, not merely ignored.
    """

    seconds: float
    wrong: str = ""
    error: float = 0.0
    moved: float = 0.0
    silent: bool = False


@dataclass(frozen=True)
class Rival:
    """What Torch-Pruning's own pruner does at ratio 0.5 (`failure` is empty where it works).

    `half` is the share of the dense network's FLOPs that stays; `wrong` and `silent` are as for a
    proof.
    """

    seconds: float
    failure: str = ""
    half: float = 1.0
    wrong: str = ""
    silent: bool = False


@dataclass(frozen=True)
class Row:
    """All of one network; no proof of one that is not accepted."""

    label: str
    family: str
    name: str
    traced: Traced
    proof: Proof | None
    rival: Rival


@dataclass(frozen=True)
class Written:
    """One export to ONNX, pruned to half; `error` is relative to torch's largest output."""

    label: str
    seconds: float
    failure: str = ""
    error: float = 0.0


class Lines(Generic[T]):
    """A file of frozen dataclasses of one kind, a JSON line each, that a later run goes on with."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self._path = path
        self.rows: list[T] = []
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                plain = parse_json(line, "a line", "start again in an empty folder")
                self.rows.append(from_plain(plain, kind, "a line", "start again"))
            except InputError:
                continue  # a run that was killed while it wrote: asked once more
        write_file(path, "".join(_line(row) for row in self.rows).encode())

    def add(self, row: T) -> None:
        """Keep one more, on disk at once."""
        self.rows.append(row)
        with self._path.open("a") as file:
            file.write(_line(row))


def _line(row: object) -> str:
    return json.dumps(asdict(row)) + "\n"  # type: ignore[call-overload]
