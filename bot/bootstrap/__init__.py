"""Build the application from its settings."""
