"""What a person asks of a portfolio."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from hdap.fleet_data.errors import InputError
from hdap.requests.setting import Setting
from hdap.requests.shared_settings import (
    DEFAULT_CRITERION,
    AnyModel,
    Criterion,
    Seed,
    Step,
    Tolerance,
    Unreadable,
    ValidationShare,
    by_commas,
)


@dataclass(frozen=True)
class PortfolioRequest:
    """Where variants come from (`sparse`, `flops` or `elastic`, one of them), and how.

    `sparse` is a folder of `hdap portfolio train` or a sparse network of the user's own, which
    `slim` (`50%`, `0.5G`, `accuracy:0.99`) makes smaller still. `flops` are budgets to search at,
    cut from `checkpoint` or from the dense `model` with `weights`; `trials`, `tolerance` and `step`
    are those of `SearchRequest`. `elastic` is an elastic checkpoint. `most` is how many variants
    there may be, `latency` a deadline that each device is to keep with one of them. Accuracy is
    judged on `data`; with `measure_here` latency is measured on this machine.

    Raises InputError where what is asked does not fit together.
    """

    out: Annotated[Path, Setting("Folder for the bundle; must be new.")]
    sparse: Annotated[
        Path | None,
        Setting(
            "A variant from each level of this folder of hdap portfolio train, or from one sparse "
            "checkpoint or .safetensors file of your own (with --model)."
        ),
    ] = None
    flops: Annotated[
        tuple[str, ...],
        Setting("A variant from a search at each of these budgets: 0.5G,1.0G,50%.", read=by_commas),
    ] = ()
    elastic: Annotated[
        Path | None, Setting("A variant from each level of this elastic checkpoint.")
    ] = None
    model: AnyModel = None
    most: Annotated[
        int | None, Setting("At most so many; the most alike go first.", flag="variants", low=1)
    ] = None
    latency: Annotated[
        str | None,
        Setting(
            "Deadline such as 20ms that the devices of the fleet share: the variants that serve it "
            "best stay, --variants of them."
        ),
    ] = None
    slim: Annotated[
        str | None,
        Setting(
            "With --sparse and --data: each level also with nearly empty channels gone, down to "
            "50% of its FLOPs, to 0.5G, or as far as accuracy:0.99 of its accuracy stays."
        ),
    ] = None
    trials: Annotated[
        int, Setting("Trials of each search of --flops.", also="search-trials", low=1)
    ] = 2000
    tolerance: Tolerance = None
    step: Step = 0
    criterion: Criterion = DEFAULT_CRITERION
    weights: Annotated[
        Path | None,
        Setting(
            "With --flops: state dict (.pt, .pth, .safetensors) of the dense network.", there="file"
        ),
    ] = None
    pretrained: Annotated[bool, Setting("With --flops: timm's own weights.")] = False
    checkpoint: Annotated[
        Path | None,
        Setting("With --flops: folder of hdap prune or finetune to cut from instead."),
    ] = None
    data: Annotated[
        str | None,
        Setting(
            "Judge accuracy on its validation part, and set batch norms of searched networks anew "
            "on its training part: a folder of images, or package.module:factory.",
            reach="code",
        ),
    ] = None
    validation_share: ValidationShare = 0.1
    unreadable: Unreadable = "stop"
    measure_here: Annotated[
        bool, Setting("Also time each variant on this machine, on one thread.")
    ] = False
    force: Annotated[bool, Setting("Replace a bundle that is in --out.")] = False
    seed: Seed = 0

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
