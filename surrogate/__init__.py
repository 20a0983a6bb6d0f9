"""How long a configuration takes: costs, layer features and per-cluster latency surrogates."""

if __name__ != "hdap.surrogate":
    raise ImportError("import hdap.surrogate, not surrogate")
