"""Compression in steps: search, prune, tune, repeat, as HDAP does it."""
