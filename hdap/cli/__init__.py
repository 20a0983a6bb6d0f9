"""The terminal: one file a command; every command parses, calls and prints."""

from hdap.cli.app import app, main

__all__ = ["app", "main"]
