"""Models, versions, and version comparisons."""
