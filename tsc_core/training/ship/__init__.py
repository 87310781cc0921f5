"""The shipped bundles, from data to cards: `python -m tsc_core.training.ship`."""
