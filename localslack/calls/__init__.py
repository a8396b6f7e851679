"""What surrounds a Web API call: rate limits, injected faults, and the log of calls."""
