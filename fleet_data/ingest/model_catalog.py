"""What ingest must know about models; torch, which can answer, lives in a layer above."""

from typing import Protocol

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.records import Ints


class ModelCatalog(Protocol):
    """Asked only when a row of pruned channels appears and the store has no architecture.

    The names come out of a data file: an implementation never executes code that a name points to.
    """

    def architecture(self, model: str) -> Architecture | None:
        """The architecture, or None where the model cannot be described here."""
        ...

    def flops(self, architecture: Architecture, counts: Counts) -> Ints:
        """FLOPs of each configuration: `n x groups` -> `n`."""
        ...

    def parameters(self, architecture: Architecture, counts: Counts) -> Ints:
        """Parameters of each configuration: `n x groups` -> `n`."""
        ...
