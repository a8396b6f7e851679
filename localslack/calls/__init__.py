"""Handling that all Web API calls share: rate limits, injected faults, and the call log."""
