"""The audit log: what happened, and proof that the log is intact."""
