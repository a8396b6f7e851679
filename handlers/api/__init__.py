"""The HTTP API for programs: readings for monitors, and requests that people decide in Slack."""
