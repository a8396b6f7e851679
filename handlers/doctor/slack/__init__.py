"""Checks of Slack."""
