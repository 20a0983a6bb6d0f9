"""The pruned network itself: made, checked, kept in a checkpoint, exported."""
