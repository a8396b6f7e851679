"""The commands that people type in Slack and in the terminal."""
