"""Callers: API clients, the people behind CI jobs, and how often each can do the most expensive work."""
