"""Which devices are alike: fingerprints, clustering algorithms, representatives, stability."""

if __name__ != "hdap.clustering":
    raise ImportError("import hdap.clustering, not clustering")
