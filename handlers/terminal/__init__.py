"""The terminal's commands: Slack's, from the same definitions, and more for auditors and operators."""
