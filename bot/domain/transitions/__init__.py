"""Stage transitions and the state of the registry."""
