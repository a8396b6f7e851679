"""Models, versions, and how they compare."""
