"""What ingest asks about models, answered with torch only when it must."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import HdapError


class ModelTracer:
    """Traces the timm models that telemetry names.

    A `package.module:factory` is code: it runs only when a person names it (`hdap model`), never
    because a row of a file does.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def architecture(self, model: str) -> Architecture | None:
        """The architecture of a timm model, or None where it cannot be described here."""
        if ":" in model:
            self._say(f"{model} is a factory: run `hdap model {model}` before its rows are loaded")
            return None
        from hdap.networks.tracing import trace

        self._say(f"tracing {model} (once; the architecture is stored)")
        try:
            return trace(model)
        except HdapError as error:
            self._say(str(error))
            return None

    def flops(self, architecture: Architecture, counts: Counts) -> NDArray[np.int64]:
        """FLOPs of n configurations."""
        from hdap.fleet_data.costs import flops

        return flops(architecture, counts)

    def parameters(self, architecture: Architecture, counts: Counts) -> NDArray[np.int64]:
        """Parameters of n configurations."""
        from hdap.fleet_data.costs import parameters

        return parameters(architecture, counts)
