"""Torch models: loading, tracing into an `Architecture`, and exact pruning."""
