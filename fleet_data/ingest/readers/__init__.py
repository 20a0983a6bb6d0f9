"""Formats of telemetry: one file a format, and one registry of them."""
