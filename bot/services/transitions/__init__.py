"""Services for stage transitions, and for the state of the registry."""
