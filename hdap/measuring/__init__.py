"""Measuring on devices: the bundle that travels, and the one file that runs there."""
