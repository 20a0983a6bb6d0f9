"""Sets of small images that are kept as one array a part: idx files, CIFAR, how they are seen."""
