"""From a plan to a pruned network that was checked."""

import hashlib
import time
from dataclasses import dataclass, replace
from importlib import metadata

import torch
from torch import nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.atomic_files import sha256_of
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.model_names import kind_of_model
from hdap.networks.counting import NetworkSize, check_pruned, size_of
from hdap.networks.criteria import Evidence, channel_scores
from hdap.networks.description import architecture_of
from hdap.networks.following import follow_channels
from hdap.networks.loading import LoadedModel, load_model
from hdap.networks.manifest import NetworkManifest, channels_by_name
from hdap.networks.prune_plan import PrunePlan, WeightsSource
from hdap.networks.surgery import prune
from hdap.networks.tracing import describe

_VERSIONS = ("hdap", "torch", "timm")


@dataclass(frozen=True)
class PrunedNetwork:
    """A smaller dense network in eval mode that was run and counted; `seconds` the surgery took."""

    module: nn.Module
    manifest: NetworkManifest
    dense: NetworkSize
    pruned: NetworkSize
    seconds: float


def prune_planned(
    plan: PrunePlan, source: WeightsSource, criterion: str, evidence: Evidence
) -> PrunedNetwork:
    """Load the dense network, take away what the plan says, and check what is left.

    The same plan, weights, seed and batches give the same network.

    Raises:
        InputError: weights, criterion or batches do not work, or the model has changed since the
            plan was made.
        NotFoundError: the model is not there.
        UnsupportedModelError: what is left is not what was promised.
    """
    architecture = plan.architecture
    loaded = load_seeded(architecture.model, source)
    check_same(architecture, loaded, "the plan was made for")
    manifest = dense_manifest(architecture, loaded.module, source, told=loaded.told)
    return prune_further(loaded.module, manifest, plan, criterion, evidence)


def dense_manifest(
    architecture: Architecture,
    network: nn.Module,
    source: WeightsSource,
    seed: int = 0,
    told: str = "",
) -> NetworkManifest:
    """What a checkpoint of the dense network would say: nothing is pruned yet.

    `told` is what `load_model` told of the weights.
    """
    size = size_of(network, architecture)
    own = source.random and kind_of_model(architecture.model) == "program"
    widths = channels_by_name(architecture, architecture.widths)
    return NetworkManifest(
        model=architecture.model,
        input_shape=architecture.input_shape,
        architecture=architecture.digest,
        channels=widths,
        dense=widths,
        flops=size.flops,
        parameters=size.parameters,
        criterion="none",
        seed=seed,
        weights=_words(f"those in {architecture.model}" if own else source.words, told),
        weights_sha256=_sha256(source, network),
        versions={name: metadata.version(name) for name in _VERSIONS},
    )


def prune_further(
    start: nn.Module, manifest: NetworkManifest, plan: PrunePlan, criterion: str, evidence: Evidence
) -> PrunedNetwork:
    """Prune a network that may be pruned already, whose `manifest` says how far.

    The plan's counts are of the dense architecture and at most those that are left. Which channels
    go is decided by the weights as they are now. Errors are as for `prune_planned`.
    """
    started = time.perf_counter()
    graph = follow_channels(start, manifest.input_shape, plan.architecture.index)
    followed = time.perf_counter() - started
    now = architecture_of(graph, manifest.model, manifest.input_shape)
    if [g.name for g in now.groups] != [g.name for g in plan.architecture.groups]:
        raise changed(manifest.model, plan.architecture.digest, now.digest, "the plan was made for")
    scores = channel_scores(criterion, start, now, evidence, graph=graph)
    started = time.perf_counter()
    module = prune(start, now, plan.counts, scores, graph=graph).eval()
    seconds = followed + time.perf_counter() - started
    size = check_pruned(graph.network, module, plan.architecture, plan.counts)
    further = replace(
        manifest,
        channels=channels_by_name(plan.architecture, plan.counts),
        flops=size.flops,
        parameters=size.parameters,
        criterion=criterion,
        seed=evidence.seed,
        origin=plan.origin,
    )
    return PrunedNetwork(module, further, size_of(start, now), size, seconds)


def load_seeded(model: str, source: WeightsSource) -> LoadedModel:
    """The dense network; its random weights follow from the seed and disturb no generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(source.seed)
        return load_model(model, weights=source.file, pretrained=source.pretrained)


def check_same(expected: Architecture, loaded: LoadedModel, who: str) -> None:
    """Raises `InputError` unless the network is the one that `expected` describes."""
    now = describe(loaded.module, expected.model, loaded.input_shape, expected.index)
    if now.digest != expected.digest:
        raise changed(expected.model, expected.digest, now.digest, who)


def changed(model: str, expected: str, now: str, who: str) -> InputError:
    """The error for a model whose architecture is another one than it was."""
    return InputError(
        f"{who} architecture {expected[:12]} of {model}, but here {model} has architecture "
        f"{now[:12]}; use the code and the versions it was made with, or make it again"
    )


def _words(weights: str, told: str) -> str:
    return f"{weights} ({told})" if told else weights


def _sha256(source: WeightsSource, network: nn.Module) -> str:
    if source.file is not None:
        return sha256_of(source.file)
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
