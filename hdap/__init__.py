"""Prune one neural network for a whole fleet of devices.

Importing this package imports nothing heavy: torch, Optuna and XGBoost load on first use.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
