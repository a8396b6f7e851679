"""A version taking or leaving a stage, and what the registry shows."""
