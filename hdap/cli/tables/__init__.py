"""How results are printed, by more than one command."""
