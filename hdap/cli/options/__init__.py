"""Options, settings and `hdap.toml`."""
