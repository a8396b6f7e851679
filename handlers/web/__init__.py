"""The HTTP server: Slack’s signed calls, webhooks, health."""
