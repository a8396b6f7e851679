"""Slack checks for `registrar doctor`."""
