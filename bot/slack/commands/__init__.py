"""The commands that people type in Slack."""
