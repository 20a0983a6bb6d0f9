"""How channels run through a network: labels on tensors, followed through every operation."""
