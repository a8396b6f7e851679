"""How values are evaluated: aggregation, baselines, statistics."""
