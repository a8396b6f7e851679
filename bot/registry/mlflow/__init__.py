"""The MLflow registry: a server by URL, or its database directly. Only this package imports MLflow."""
