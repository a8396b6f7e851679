"""The entry points: Slack, the scheduler, the terminal, and HTTP. The rules are in `bot`."""
