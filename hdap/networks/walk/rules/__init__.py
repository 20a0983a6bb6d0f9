"""What each operation of torch does to channels: one file a kind, and one registry of them."""
