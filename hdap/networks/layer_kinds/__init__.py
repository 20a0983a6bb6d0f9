"""What is known of each kind of torch layer: one file a kind, and one registry of them."""
