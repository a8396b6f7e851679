"""The HTTP API for programs: push readings for monitors, and open requests that people decide in Slack."""
