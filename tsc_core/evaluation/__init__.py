"""How good a model is: metrics by name, with their intervals, and figures."""
