"""Stage transitions, and what the registry shows."""
