"""Several networks for one deadline: how large each is, and which device runs which."""
