"""Model registries: MLflow, and an in-memory one that behaves like it. Both pass the same contract tests."""
