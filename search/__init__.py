"""Which configuration to ship: search space, exact repair, objective and Optuna samplers."""

if __name__ != "hdap.search":
    raise ImportError("import hdap.search, not search")
