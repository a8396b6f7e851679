"""The registry is MLflow, a server by URL or its database directly. Only this package knows it."""
