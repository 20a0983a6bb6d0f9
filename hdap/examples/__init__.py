"""Real data and small networks that need no download, for trying things out and for benchmarks."""
