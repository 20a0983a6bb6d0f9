"""Optuna samplers over grid positions: ours, HDAP's, and the stock ones as base lines."""
