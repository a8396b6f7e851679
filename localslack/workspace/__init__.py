"""The workspace: its records, their changes, and their JSON representation in Slack."""
