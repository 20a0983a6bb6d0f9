"""Ways to group fingerprints: one small interface, one file each, listed in `registry`."""

if __name__ != "hdap.clustering.algorithms":
    raise ImportError("import hdap.clustering.algorithms, not clustering.algorithms")
