"""Delivery of messages to Slack."""
