"""The terminal's commands: Slack's, from the same definitions, plus others for auditors and operators."""
