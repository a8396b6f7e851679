"""Blocks, the web client, and the directories that the other Slack packages use."""
