"""Measuring on many devices at once: bundles go out, rows come back."""
