"""From a dataset to bundles: one run, and the experiments of the paper."""
