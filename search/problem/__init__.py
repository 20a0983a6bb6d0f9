"""The search problem: budget, space, repair, what is kept, what is minimised."""
