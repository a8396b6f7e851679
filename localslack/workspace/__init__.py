"""The workspace: its records, the changes to them, and their JSON representation in Slack."""
