"""Which command comes next, as it can be typed in the state that the database is in."""

import shlex
from collections.abc import Collection, Sequence
from decimal import ROUND_CEILING, Context
from pathlib import Path
from typing import Literal

from hdap.fleet_data.model_names import kind_of_model
from hdap.fleet_data.store import Store
from hdap.surrogate.learning.pooled_cells import LEAST_FLEET

BUDGET = "25%"
MOST_MODELS = 3
"""Models that are told what comes next; a person works on one."""


def command_line(*words: object) -> str:
    """A command of hdap as a shell takes it, whatever is in its words."""
    return f"hdap {shlex.join(map(str, words))}"


def model_flag(model: str) -> tuple[str, ...]:
    """What a checkpoint of this model needs to be loaded: its factory or program, if it is one."""
    return ("--model", model) if kind_of_model(model) != "timm" else ()


def measured_files(*folders: str | Path, kind: str = "measured") -> str:
    """The results in a bundle's folder, for a shell; `*` stands for all folders."""
    parts = [str(part) if part == "*" else shlex.quote(str(part)) for part in folders]
    return f"{'/'.join(parts)}/{kind}-*.csv"


def free_name(name: str) -> str:
    """`name`, or with a number where something of that name is there already: `bundles-2`."""
    path, number = Path(name), 1
    while path.exists():
        number += 1
        path = Path(name).with_stem(f"{Path(name).stem}-{number}")
    return str(path)


def export_command(checkpoint: str | Path, model: str, *more: object) -> str:
    """Write a checkpoint as ONNX beside it; `more` goes between."""
    written = free_name(f"{checkpoint}.onnx")
    rest = ("--format", "onnx", "--out", written, *model_flag(model))
    return command_line("export", checkpoint, *more, *rest)


def search_command(model: str) -> str:
    """Search at a usual budget."""
    return command_line("search", "--model", model, "--flops", BUDGET)


def sizes_command(model: str, deadline_ms: float, step: int | None = None) -> str:
    """Find several networks for a deadline, on the grid of `step` where one was asked for (not 0).

    Four digits of the deadline, never less than it: a network that just keeps it must still do so.
    """
    up = Context(prec=4, rounding=ROUND_CEILING).create_decimal_from_float(deadline_ms)
    grid = ("--step", step) if step else ()
    return command_line(
        *("search", "--model", model, "--latency", f"{up:f}ms", "--networks", "auto", *grid)
    )


def plan_command(model: str, study: str | None = None) -> str:
    """Choose networks to measure, around what a study found if one is named."""
    around = () if study is None else ("--from-study", study)
    return command_line("plan", "--model", model, *around, "--out", free_name("bundles"))


def for_models(store: Store, models: Collection[str] | None = None) -> list[str]:
    """For each measured model (of `models`): search where enough was measured of it, else measure
    more. Empty where nothing was measured, or nothing of a model that can be traced.
    """
    outliers = _outliers(store)
    found = []
    for model, configurations in store.configuration_counts().items():
        if models is not None and model not in models:
            continue
        measured = "few"
        # the first is cheap, and the second reads every pruned measurement of the model
        if configurations >= LEAST_FLEET:
            measured = _measured(store.pruned_pairs(model), outliers)
        if measured == "enough":
            found.append(search_command(model))
        elif measured == "unsure":
            found.append("hdap cluster")
        elif _traceable(store, model):
            found.append(plan_command(model))
    # a search first: it is what all others lead to
    first = sorted(dict.fromkeys(found), key=lambda line: not line.startswith("hdap search"))
    return first[:MOST_MODELS]


def learnable(store: Store, model: str) -> bool:
    """Whether a surrogate has enough pruned configurations to learn from."""
    return _measured(store.pruned_pairs(model), _outliers(store)) == "enough"


def _outliers(store: Store) -> frozenset[str] | None:
    """Devices that the newest clustering calls outliers; None where there is none."""
    clustering = store.clustering_head()
    return None if clustering is None else store.outliers(clustering.id)


def _measured(
    pairs: Sequence[tuple[str, int]], outliers: frozenset[str] | None
) -> Literal["enough", "unsure", "few"]:
    """Whether devices that are no outliers measured enough pruned configurations; unsure where no
    clustering has said who is one, and it depends on a single device."""
    by_device: dict[str, set[int]] = {}
    for device, configuration in pairs:
        by_device.setdefault(device, set()).add(configuration)
    for device in outliers or ():
        by_device.pop(device, None)
    if len(set[int]().union(*by_device.values())) < LEAST_FLEET:
        return "few"
    if outliers is None and len(by_device) > 1:
        # a device is an outlier at most where there are others
        for device in by_device:
            rest = (known for other, known in by_device.items() if other != device)
            if len(set[int]().union(*rest)) < LEAST_FLEET:
                return "unsure"
    return "enough"


def _traceable(store: Store, model: str) -> bool:
    """Whether networks of a model can be made here: it is described, or a person's own code."""
    return kind_of_model(model) != "timm" or model in {record.model for record in store.models()}
