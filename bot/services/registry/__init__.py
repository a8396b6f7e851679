"""Models, versions, and comparisons of versions."""
