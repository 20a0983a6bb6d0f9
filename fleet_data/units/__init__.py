"""Units of latency: their names, and rows that look as if they were in another one."""
