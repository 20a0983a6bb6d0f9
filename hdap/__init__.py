"""Prune one neural network for a whole fleet of devices.

Importing this package imports nothing heavy: torch, Optuna and XGBoost load on first use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdap.networks.checkpoint import load_pruned

__version__ = "0.1.0"
__all__ = ["__version__", "load_pruned"]


def __getattr__(name: str) -> Any:
    if name == "load_pruned":
        from hdap.networks.checkpoint import load_pruned

        return load_pruned
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
