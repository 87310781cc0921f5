"""The tables of the paper as data: which configurations, how many runs, what they stand beside."""
