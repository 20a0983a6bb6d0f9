"""Settings that several requests share, written once so that they read alike everywhere."""

from pathlib import Path
from typing import Annotated

from hdap.fleet_data.model_names import InputSizes, input_sizes
from hdap.requests.setting import Setting

Seed = Annotated[int, Setting("The same seed gives the same result.", low=0)]
_MODEL = Setting(
    "A timm name, package.module:factory or network.pt2 (torch.export); resnet50@3x288x288 takes "
    "that input.",
    reach="code",
)
Model = Annotated[str, _MODEL]
AnyModel = Annotated[str | None, _MODEL]
Input = Annotated[
    InputSizes | None,
    Setting(
        "Sizes of the model's input without the batch, 3x640x640 or 1x16000: short for "
        "MODEL@3x640x640, which is a model of its own from then on. Several inputs by the names "
        "that forward gives them: image=3x64x64,speed=4.",
        read=input_sizes,
    ),
]
Pretrained = Annotated[bool, Setting("timm's own weights.")]
DenseWeights = Annotated[
    Path | None,
    Setting("State dict (.pt, .pth, .safetensors) of the dense network.", there="file"),
]
Criterion = Annotated[
    str,
    Setting(
        "Which channels stay: lookahead, l1, l2, bn_scale, taylor, random.",
        choices=("lookahead", "l1", "l2", "bn_scale", "taylor", "random"),
    ),
]
DEFAULT_CRITERION = "lookahead"
"""What is left of a network before tuning is most by this one (`benchmarks.quality.criteria`)."""
ImageData = Annotated[
    str,
    Setting(
        "A folder with one folder of images a class (or train/ and val/ with those), a folder of "
        "idx files, CIFAR (folder or .tar.gz), or package.module:factory.",
        reach="code",
    ),
]
ValidationShare = Annotated[
    float,
    Setting("Part of the training images to judge by where the data has no validation part."),
]
Unreadable = Annotated[str, Setting("What unreadable images do: stop, or skip (and be counted).")]
Teacher = Annotated[
    str,
    Setting("Learn from the dense model too: its weights (a file), or `pretrained` (timm's)."),
]
OwnLoss = Annotated[
    str,
    Setting(
        "Your own loss, package.module:function of (network, batch): what is minimised, and the "
        "validation part judged by, instead of classes.",
        reach="code",
    ),
]
OwnMetric = Annotated[
    str,
    Setting(
        "With --loss: package.module:function of (network, batches), a share in 0..1 that takes "
        "accuracy's place.",
        reach="code",
    ),
]
Readers = Annotated[
    int | None,
    Setting(
        "Processes that read images. Default: one a core, at most 8, for a folder; else 0.",
        flag="workers",
        low=0,
    ),
]
Tolerance = Annotated[
    float | None,
    Setting(
        "Networks must spend their budget but for this share: 0.03 = 3 %. Default: a budget is a "
        "ceiling, and quality alone keeps a network from being small.",
        flag="flops-tol",
    ),
]
SurrogateKind = Annotated[
    str,
    Setting(
        "fleet, roofline, xgboost-ratios, or hdap-gbrt (as HDAP).",
        choices=("fleet", "roofline", "xgboost-ratios", "hdap-gbrt"),
    ),
]


def grid_step(text: str) -> int:
    """The step of a grid of channel counts; 0 for `auto`. Raises ValueError for what is neither."""
    if text == "auto":
        return 0
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise ValueError(f"auto or a number >= 1, not {text!r}")
    return int(text)


Step = Annotated[
    int,
    Setting(
        "Grid of channel counts: a number, or auto (what measurements show to pay, finer for "
        "a budget that leaves hardly anything on that).",
        read=grid_step,
        written="auto",
    ),
]


def by_commas(text: str) -> tuple[str, ...]:
    """The parts of a text."""
    return tuple(part.strip() for part in text.split(","))


Keep = Annotated[
    tuple[str, ...],
    Setting(
        "Width groups that keep all channels, by names of them or of layers: stem,head.* (commas; "
        "* stands for anything).",
        read=by_commas,
    ),
]
