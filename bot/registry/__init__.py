"""The MLflow Model Registry, and what adapters of other registries use."""
