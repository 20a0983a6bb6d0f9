"""Exact minimisation of sums over layers, and the lower bound that follows."""
