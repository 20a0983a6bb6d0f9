"""Nested chains of configurations: the levels of one elastic network."""
