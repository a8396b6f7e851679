"""The HTTP server: Slack's signed calls, MLflow's webhooks, and health checks."""
