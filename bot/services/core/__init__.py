"""Services that all other services use."""
