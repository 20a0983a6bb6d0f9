"""What trials say: answer, front, networks a cluster, verdict."""
