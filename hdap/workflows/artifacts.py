"""What is known of a model: its architecture is traced and its channels are weighed once.

Every function says in one line what it does (`say`) and reuses what the store already holds. Torch
is loaded only where a network has to be.
"""

from contextlib import suppress
from pathlib import Path

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.atomic_files import sha256_of
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.errors import InputError, NotEnoughDataError, NotFoundError
from hdap.fleet_data.model_names import kind_of_model
from hdap.fleet_data.records import ClusteringRecord, Floats, ImportanceRecord
from hdap.fleet_data.store import Store
from hdap.requests.shared_settings import DEFAULT_CRITERION
from hdap.search.problem.kept_importance import Importance


def ensure_architecture(store: Store, model: str, say: Say) -> Architecture:
    """The stored architecture of a model; traced and stored first where it is missing.

    Raises InputError for an unknown name and UnsupportedModelError for a network that cannot be
    described exactly.
    """
    with suppress(NotFoundError):
        return store.architecture(model)
    from hdap.networks.tracing import trace  # loads torch

    say(f"tracing {model} (once; the architecture is stored)")
    architecture = trace(model)
    store.save_architecture(architecture)
    return architecture


def require_measurements(store: Store, model: str) -> None:
    """Raise NotEnoughDataError where nothing was measured of the model; no torch is loaded."""
    measured = store.measured_models()
    if model not in measured:
        raise NotEnoughDataError(
            f"the database must hold measurements of {model}, but it has: "
            f"{', '.join(measured) or 'none of any model'}; load some: hdap ingest telemetry.csv"
        )


def measured_architecture(store: Store, model: str, say: Say) -> Architecture:
    """The architecture of a model that was measured.

    Raises NotFoundError with the nearest names for a model that does not exist, and
    NotEnoughDataError for one that was never measured.
    """
    if model not in store.measured_models():
        ensure_architecture(store, model, say)
    require_measurements(store, model)
    return ensure_architecture(store, model, say)


def ensure_importance(
    store: Store, architecture: Architecture, weights: Path | None, pretrained: bool, say: Say
) -> Importance:
    """Channel importance from the given weights (a program's own if none are), else the latest
    stored, else channels counted.

    Raises InputError when both sources of weights are given.
    """
    if weights and pretrained:
        raise InputError("`--weights` and `--pretrained` exclude each other; give one of them")
    source = _source(architecture.model, weights, pretrained)
    with suppress(NotFoundError):
        stored = store.importance(architecture.model, source)
        if stored.architecture_digest == architecture.digest:
            say(f"channel importance: stored, from {stored.source}")
            return Importance(stored.source, stored.curves)
    if source is None:
        say(
            "channel importance: none is known, so every channel counts alike "
            "(give --weights FILE or --pretrained to weigh them)"
        )
        return Importance.by_channels(architecture)
    say(f"channel importance: reading {source}")
    curves = _curves(architecture, weights, pretrained)
    store.save_importance(
        ImportanceRecord(
            model=architecture.model,
            source=source,
            architecture_digest=architecture.digest,
            curves=curves,
        )
    )
    return Importance(source, curves)


def _source(model: str, weights: Path | None, pretrained: bool) -> str | None:
    if pretrained:
        return f"timm pretrained weights, {DEFAULT_CRITERION}"
    if weights is None and kind_of_model(model) == "program" and Path(model).is_file():
        weights = Path(model)  # it holds its own
    if weights is None:
        return None
    return f"weights {weights.name} (sha256 {sha256_of(weights)[:12]}), {DEFAULT_CRITERION}"


def _curves(
    architecture: Architecture, weights: Path | None, pretrained: bool
) -> tuple[Floats, ...]:
    # All load torch.
    from hdap.networks.channel_importance import importance_curves
    from hdap.networks.criteria import Evidence, channel_scores
    from hdap.networks.loading import load_model

    loaded = load_model(architecture.model, weights=weights, pretrained=pretrained)
    # What is kept counts by the criterion by which channels stay.
    scores = channel_scores(DEFAULT_CRITERION, loaded.module, architecture, Evidence())
    return importance_curves(scores, architecture)


def compare_outputs(model: str, weights: Path | None, original: str, say: Say) -> None:
    """Say how near a model with these weights comes to the network that they were made for.

    `original` is a factory of that network; it is filled with the same weights. Raises InputError
    without weights, and as `load_model` and `require_same_outputs`.
    """
    if weights is None:
        raise InputError("`--compare` needs weights that fill both networks; give --weights FILE")
    # Both load torch.
    from hdap.networks.loading import load_model
    from hdap.networks.same_tensors import require_same_outputs

    mine, theirs = load_model(model, weights=weights), load_model(original, weights=weights)
    apart = require_same_outputs(model, mine.module, theirs.module, mine.input_shape)
    say(f"{model} is {original}: for random images outputs differ by {apart:.1g} of the largest")


def latest_clustering(store: Store) -> ClusteringRecord | None:
    """The newest clustering, current or not; None where there is none."""
    with suppress(NotFoundError):
        return store.clustering()
    return None
