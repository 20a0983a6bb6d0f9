"""One self-contained page on a database or a study: what is there, and what is not yet."""
