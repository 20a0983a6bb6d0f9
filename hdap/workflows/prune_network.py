"""From a plan to a pruned network: the weights it is cut from, and what criteria look at."""

from dataclasses import replace

from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.errors import InputError
from hdap.networks.criteria import Evidence, criterion
from hdap.networks.prune_plan import PrunePlan, WeightsSource
from hdap.networks.pruned_network import PrunedNetwork, prune_planned
from hdap.training.datasets import DataOptions
from hdap.training.load_data import load_batches


def check_criterion(name: str, data: str | None) -> None:
    """Raises InputError for an unknown criterion, and for one without the data it needs."""
    if (data is not None) != (name == "taylor"):
        raise InputError(
            f"`--data` and `--criterion taylor` need each other, but got criterion={name!r} and "
            f"{data=}; give both or neither"
        )
    criterion(name)


def weights_to_prune(given: WeightsSource, plan: PrunePlan) -> WeightsSource:
    """The weights that were given, else those of the plan's study, else random ones.

    Raises InputError where the study's file is gone.
    """
    if not given.random or plan.weights is None:
        return given
    file = plan.weights.file
    if file is not None and not file.is_file():
        raise InputError(
            f"the weights that the study was searched with must be there, but {file} is "
            "not; give --weights FILE or --pretrained"
        )
    return replace(plan.weights, seed=given.seed)


def prune_network(
    plan: PrunePlan, source: WeightsSource, criterion: str, data: str | None, say: Say
) -> PrunedNetwork:
    """Prune by `criterion`, which looks at `data` if it is one that does.

    Raises as `check_criterion` and `prune_planned`.
    """
    check_criterion(criterion, data)
    batches = None
    architecture = plan.architecture
    if data is not None:
        options = DataOptions.of_model(architecture.model, architecture.input_shape, source.seed)
        batches = load_batches(data, options)
    say(f"pruning {architecture.model} by {criterion}")
    return prune_planned(plan, source, criterion, Evidence(source.seed, batches))
