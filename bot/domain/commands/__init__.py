"""Commands: what people type in Slack and in the terminal."""
