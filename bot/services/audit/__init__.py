"""The audit log: reading it, streaming it, and anchoring its head elsewhere."""
