"""Rollbacks and the history of Production."""
