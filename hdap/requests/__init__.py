"""What a person asks of a workflow: one frozen dataclass each, whose fields are the settings."""
