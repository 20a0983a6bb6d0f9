"""What a compression begins with: the dense network, in a folder of its own."""

from pathlib import Path

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.networks.checkpoint import Checkpoint
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import dense_manifest, load_seeded
from hdap.requests.compression_request import CompressRequest


def dense_start(architecture: Architecture, request: CompressRequest) -> Checkpoint:
    """The dense network with the weights that were asked for, and what it is."""
    weights = Path(request.weights) if request.weights else None
    source = WeightsSource(weights, request.pretrained)
    module = load_seeded(architecture.model, source).module
    return Checkpoint(module, dense_manifest(architecture, module, source))


def require_empty(out: Path) -> None:
    """Raises `InputError` where `out` holds anything."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(
            f"`--out` must be new or empty, but {out} is not; name another, or go on with --resume"
        )
