"""Files that other runtimes read: one file a format, and one registry of them."""
