"""How clock, temperature and load move latency."""
