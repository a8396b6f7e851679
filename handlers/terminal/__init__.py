"""The terminal's commands: those of Slack, from the same definitions, and those for auditors and operators."""
