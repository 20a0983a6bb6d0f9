"""What surrogates learn: physical costs, offsets of clusters, the correction and its doubt."""
