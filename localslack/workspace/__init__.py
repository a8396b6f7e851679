"""The workspace: its records, how they change, and how Slack writes them as JSON."""
