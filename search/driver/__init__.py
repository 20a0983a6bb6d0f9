"""Running a study: who proposes, who numbers trials, how batches are handed over."""
