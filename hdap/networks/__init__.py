"""Torch networks: loaded, traced, pruned, kept in checkpoints, exported."""
