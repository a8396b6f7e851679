"""The audit log: reading it, and anchoring its head elsewhere."""
