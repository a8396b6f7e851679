"""The adapter for the MLflow Model Registry, and what adapters for other registries use."""
