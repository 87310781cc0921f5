"""From a sequence of alerts to class probabilities."""
