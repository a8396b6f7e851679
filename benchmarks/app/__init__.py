"""Benchmarks of the running app, with a simulated Slack."""
