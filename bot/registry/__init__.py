"""The model registry: MLflow, and one in memory that behaves like it. Both pass the same contract suite."""
