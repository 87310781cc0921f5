"""Training sets: on disk, split by object, read in batches; and the simulator."""
