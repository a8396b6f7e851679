"""How values are judged: aggregation, baselines, statistics."""
