"""What each command takes and what it is for: one dataclass each, told by `--help`."""
