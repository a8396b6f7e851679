"""Slack checks."""
