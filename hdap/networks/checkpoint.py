"""Checkpoints of pruned networks: `model.safetensors` and `model.json`, nothing that is executed.

The stock model is made anew, cut to the recorded channel counts, and filled with the weights. A
training that goes on keeps its own state beside them, in `training.pt`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import safetensors
import safetensors.torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.atomic_files import require_free_folder, sha256_of, whole_folder, write_file
from hdap.fleet_data.documents import write_document
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.model_names import kind_of_model
from hdap.networks.loading import LoadedModel
from hdap.networks.manifest import MANIFEST, WEIGHTS, NetworkManifest, read_manifest
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import changed, dense_manifest, load_seeded
from hdap.networks.surgery import prune
from hdap.networks.tracing import describe, trace
from hdap.networks.weights import some, state_faults

STATE = "training.pt"
FILES = frozenset({WEIGHTS, MANIFEST, STATE})
ELSEWHERE = ", then trained elsewhere"
"""What a checkpoint adds to where its weights came from once somebody else's trainer had them."""

AnyManifest = TypeVar("AnyManifest", bound=NetworkManifest)


@dataclass(frozen=True)
class Checkpoint:
    """A network in eval mode, and what its checkpoint says about it."""

    module: nn.Module
    manifest: NetworkManifest


def load_pruned(path: str | Path, *, model: str | None = None) -> nn.Module:
    """The pruned network in checkpoint folder `path`, on the CPU and in eval mode.

    Nothing in the folder is executed. A network that came from the user's own factory or .pt2
    file needs that: it is loaded only when the caller names it, `model="package.module:factory"`.

    Raises as `load_checkpoint`.
    """
    return load_checkpoint(path, model=model).module


def prune_like(module: nn.Module, checkpoint: str | Path) -> nn.Module:
    """A copy of a live `module` with the widths and the tensors of a checkpoint folder.

    That is how a pruned network goes into somebody else's trainer, which builds the dense one by
    its own code; `save_pruned` is the way back. Whatever else the module has comes along: its
    attributes, its place, its mode, and which parameters are trained. Nothing in the folder is
    executed and no factory is called.

    Raises:
        InputError: as `load_checkpoint`, or the module is of another architecture than the dense
            model of the checkpoint.
        UnsupportedModelError: the module cannot be described, so neither cut.
    """
    folder = Path(checkpoint)
    manifest = read_manifest(folder)
    _check_unchanged(folder / WEIGHTS, manifest)
    architecture = _described(manifest, LoadedModel(module, manifest.input_shape))
    pruned = prune(module, architecture, _counts(manifest, architecture))
    fill(pruned, folder)
    return pruned


def save_pruned(
    module: nn.Module, *, like: str | Path, out: str | Path, force: bool = False
) -> None:
    """Write a checkpoint of `module`, which was pruned like the checkpoint folder `like`.

    For what somebody else's trainer made of `prune_like`'s network: the new folder is what `hdap
    finetune`, `export` and `load_pruned` take, and says that the weights were trained elsewhere.
    `force` replaces a checkpoint in `out`, which may be `like` itself.

    Raises `InputError` unless the tensors have the names, shapes and types of those in `like`, are
    finite, and `out` can be written.
    """
    folder = Path(like)
    manifest = read_manifest(folder)
    _check_unchanged(folder / WEIGHTS, manifest)
    expected, found = _tensors(folder / WEIGHTS), module.state_dict()
    faults = state_faults(expected, found, types=True)
    if not faults and (broken := [k for k, v in found.items() if not v.isfinite().all()]):
        faults = f"numbers that are not finite in {some(broken)}"
    if faults:
        raise InputError(
            f"a network that comes back must have exactly the {len(expected)} tensors of {folder}, "
            f"but has {faults}; give the module that prune_like returned, without a wrapper"
        )
    words = manifest.weights.removesuffix(ELSEWHERE) + ELSEWHERE
    save_checkpoint(Path(out), module, replace(manifest, weights=words), force=force)


def load_checkpoint(path: str | Path, *, model: str | None = None) -> Checkpoint:
    """The network and the manifest in checkpoint folder `path`; `model` as for `load_pruned`.

    Raises:
        InputError: a file is missing, cut or changed; the format is unknown; `model` is another
            one or must be named; the model has another architecture here; tensors are missing, too
            many or of another shape (the first are named).
        NotFoundError: timm no longer knows the model.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    module = network_of(folder, manifest, model)
    fill(module, folder)
    return Checkpoint(module, manifest)


def start_network(
    checkpoint: Path | None, model: str | None, source: WeightsSource, seed: int = 0
) -> Checkpoint:
    """The network in a checkpoint folder, else the dense one called `model` with these weights.

    Raises:
        InputError: weights come from two places, or no network is named at all.
        InputError, NotFoundError: as `load_checkpoint` and `load_seeded`.
    """
    if checkpoint is not None:
        if not source.random:
            raise InputError(
                "weights come from the checkpoint or from --weights or --pretrained, but got two "
                "of them; leave one out"
            )
        return load_checkpoint(checkpoint, model=model)
    if model is None:
        raise InputError(
            "a network must be named, but got neither a checkpoint nor --model; "
            "give one: --model resnet50"
        )
    loaded = load_seeded(model, source)
    architecture = trace(loaded.module, name=model, input_shape=loaded.input_shape)
    return Checkpoint(
        loaded.module, dense_manifest(architecture, loaded.module, source, seed, loaded.told)
    )


def network_of(folder: Path, manifest: NetworkManifest, model: str | None) -> nn.Module:
    """The network that a checkpoint describes, in eval mode, before `fill`.

    Arguments and errors as for `load_checkpoint`.
    """
    _check_unchanged(folder / WEIGHTS, manifest)
    _check_named(manifest, model)
    loaded = load_seeded(manifest.model, WeightsSource())
    architecture = _described(manifest, loaded)
    return prune(loaded.module, architecture, _counts(manifest, architecture)).eval()


def fill(module: nn.Module, folder: Path) -> None:
    """Fill `module` with the tensors of the checkpoint in `folder`, in place.

    Raises `InputError` unless they are exactly the module's.
    """
    expected, found = module.state_dict(), _tensors(folder / WEIGHTS)
    if faults := state_faults(expected, found, types=True):
        raise InputError(
            f"{WEIGHTS} must hold exactly the {len(expected)} tensors of the pruned network, but "
            f"has {faults}; where an earlier hdap wrote it, prune again"
        )
    module.load_state_dict(found, strict=True)


def save_checkpoint(
    folder: Path,
    module: nn.Module,
    manifest: AnyManifest,
    *,
    force: bool = False,
    state: bytes | None = None,
) -> AnyManifest:
    """Write a checkpoint that appears whole or not at all; the manifest with the weights' hash.

    `state` is that of a training that goes on. Raises `InputError` when `folder` holds anything
    (with `force`: anything but a checkpoint) or cannot be written; what was there before is then
    still there.
    """
    require_free_folder(folder, force, FILES)
    # Copies: safetensors refuses tensors that share memory.
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in module.state_dict().items()}
    content = safetensors.torch.save(tensors)
    manifest = replace(manifest, safetensors_sha256=hashlib.sha256(content).hexdigest())
    with whole_folder(folder) as temporary:
        write_file(temporary / WEIGHTS, content)
        write_document(temporary / MANIFEST, manifest)
        if state is not None:
            write_file(temporary / STATE, state)
    return manifest


def _check_unchanged(weights: Path, manifest: NetworkManifest) -> None:
    try:
        found = sha256_of(weights)
    except OSError as error:
        raise InputError(
            f"a checkpoint must hold {WEIGHTS}, but {weights.parent} does not ({error.strerror}); "
            "copy it again"
        ) from error
    if found != manifest.safetensors_sha256:
        raise InputError(
            f"{weights} must have the SHA-256 {manifest.safetensors_sha256[:12]} that {MANIFEST} "
            f"says, but has {found[:12]}: it was cut or changed; copy it again"
        )


def _check_named(manifest: NetworkManifest, model: str | None) -> None:
    if model is not None and model != manifest.model:
        raise InputError(f"the checkpoint must be one of {model}, but is of {manifest.model}")
    kind = kind_of_model(manifest.model)
    if model is None and kind != "timm":
        raise InputError(
            f"the checkpoint needs your {kind} {manifest.model}, which is code and so runs only "
            f'when you name it: load_pruned(path, model="{manifest.model}"), or --model'
        )


def _described(manifest: NetworkManifest, loaded: LoadedModel) -> Architecture:
    _check_names(manifest, manifest.dense)
    architecture = describe(loaded.module, manifest.model, loaded.input_shape, manifest.channels)
    if architecture.digest != manifest.architecture:
        made = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
        raise changed(
            manifest.model,
            manifest.architecture,
            architecture.digest,
            f"the checkpoint (made with {made}) is of",
        )
    return architecture


def _counts(manifest: NetworkManifest, architecture: Architecture) -> list[int]:
    names = [group.name for group in architecture.groups]
    _check_names(manifest, names)
    return [manifest.channels[name] for name in names]


def _check_names(manifest: NetworkManifest, names: Iterable[str]) -> None:
    different = sorted(set(manifest.channels) ^ set(names))
    if different:
        raise InputError(
            f"`channels` in {MANIFEST} must name the width groups of {manifest.model}, but differs "
            f"in {some(different)}; the file is damaged: prune again"
        )


def _tensors(weights: Path) -> Mapping[str, Tensor]:
    try:
        return safetensors.torch.load_file(weights)
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{weights} must be a safetensors file, but reading it failed: {error}"
        ) from error
