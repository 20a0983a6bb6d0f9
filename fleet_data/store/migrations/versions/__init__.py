"""One module a revision; each brings databases of the one before to what `schema.py` says."""
