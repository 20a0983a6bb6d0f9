"""What ingest asks about models, answered with torch only when it must."""

from collections.abc import Callable
from dataclasses import dataclass

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import HdapError
from hdap.fleet_data.model_names import kind_of_model


@dataclass(frozen=True)
class ModelTracer:
    """Traces the timm models that telemetry names, and says so.

    A `package.module:factory` and a .pt2 file are code: they are loaded only when a person names
    them (`hdap model`), never because a row of a file does.
    """

    say: Callable[[str], None]

    def __call__(self, model: str) -> Architecture | None:
        """The architecture of a timm model, or None where it cannot be described here."""
        if (kind := kind_of_model(model)) != "timm":
            self.say(f"{model} is a {kind}: run `hdap model {model}` before its rows are loaded")
            return None
        from hdap.networks.tracing import trace  # torch, which most files need not wait for

        self.say(f"tracing {model} (once; the architecture is stored)")
        try:
            return trace(model)
        except HdapError as error:
            self.say(str(error))
            return None
