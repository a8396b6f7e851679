"""Handling of all Web API calls: rate limits, injected faults, and the call log."""
