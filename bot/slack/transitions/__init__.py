"""Slack messages about stage transitions and the state of the registry."""
