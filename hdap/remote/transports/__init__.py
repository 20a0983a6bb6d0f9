"""Ways to a device: one file a way, and one registry of them."""
