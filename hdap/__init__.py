"""Prune one neural network for a whole fleet of devices.

Importing this package imports nothing heavy: torch, Optuna and XGBoost load on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdap.api import Fleet
    from hdap.fleet_data.errors import HdapError
    from hdap.found import Found
    from hdap.networks.checkpoint import load_pruned, prune_like, save_pruned

__version__ = "0.1.0"
__all__ = ["Fleet", "Found", "HdapError", "__version__", "load_pruned", "prune_like", "save_pruned"]

_HOMES = {
    "Fleet": "hdap.api",
    "Found": "hdap.found",
    "HdapError": "hdap.fleet_data.errors",
    "load_pruned": "hdap.networks.checkpoint",
    "prune_like": "hdap.networks.checkpoint",
    "save_pruned": "hdap.networks.checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
