"""Which measurements a surrogate learns from, made comparable."""
