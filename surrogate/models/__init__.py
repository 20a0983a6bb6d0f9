"""Latency surrogates: one small interface, one file a kind, listed in `registry`."""
