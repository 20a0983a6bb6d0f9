"""What a person asks of a portfolio. No torch here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hdap.fleet_data.errors import InputError


@dataclass(frozen=True)
class PortfolioRequest:
    """Where variants come from (`sparse`, `flops` or `elastic`, one of them), and how.

    `sparse` is a folder of `hdap portfolio train` or a sparse network of the user's own, which
    `slim` (`50%`, `0.5G`, `accuracy:0.99`) makes smaller still. `flops` are budgets to search at,
    cut from `checkpoint` or from the dense `model` with `weights`; `trials`, `tolerance` and `step`
    are those of `SearchRequest`. `elastic` is an elastic checkpoint. `most` is how many variants
    there may be. Accuracy is judged on `data`; with `measure_here` latency is measured on this
    machine.

    Raises InputError where what is asked does not fit together.
    """

    out: Path
    sparse: Path | None = None
    flops: Sequence[str] = ()
    elastic: Path | None = None
    model: str | None = None
    slim: str | None = None
    criterion: str = "l2"
    trials: int = 2000
    tolerance: float = 0.03
    step: int = 0
    weights: Path | None = None
    pretrained: bool = False
    checkpoint: Path | None = None
    data: str | None = None
    validation_share: float = 0.1
    unreadable: str = "stop"
    most: int | None = None
    measure_here: bool = False
    force: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        given = {"--sparse": self.sparse, "--flops": self.flops, "--elastic": self.elastic}
        named = [name for name, value in given.items() if value]
        if len(named) != 1:
            raise InputError(
                f"variants come from one of {', '.join(given)}, but got "
                f"{' and '.join(named) or 'none'}; give one"
            )
        if self.slim is not None and self.source != "sparse":
            raise InputError(f"`--slim` is for sparse networks, but got {named[0]}; leave it out")
        starting = (self.weights is not None, self.pretrained, self.checkpoint is not None)
        if any(starting) and self.source != "flops":
            raise InputError(
                f"{named[0]} brings its own weights; leave --weights, --pretrained and "
                "--checkpoint out"
            )
        if sum(starting) > 1:
            raise InputError(
                "weights come from one of --weights, --pretrained and --checkpoint, but got "
                f"{sum(starting)} of them; give one"
            )
        if self.source == "flops" and self.model is None and self.checkpoint is None:
            raise InputError(
                "`--flops` needs a network, but got none; give --model or --checkpoint"
            )
        if self.slim is not None and self.data is None:
            raise InputError(
                "`--slim` sets batch norms anew on images and judges by them, but got none; "
                "give --data"
            )
        if self.criterion == "taylor" and self.data is None:
            raise InputError("`--criterion taylor` looks at images, but got none; give --data")

    @property
    def source(self) -> str:
        """`sparse`, `flops` or `elastic`."""
        return "sparse" if self.sparse else "elastic" if self.elastic else "flops"

    def to_plain(self) -> dict[str, Any]:
        """As it is stored with the portfolio."""
        plain = asdict(self)
        return {k: str(v.absolute()) if isinstance(v, Path) else v for k, v in plain.items()}
