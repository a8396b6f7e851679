"""The audit log: what happened, and proof that nothing was changed."""
