"""Verbs of Slack at the terminal, from the same definitions; and those of auditors, and of a policy file."""
