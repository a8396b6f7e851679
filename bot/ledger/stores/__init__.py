"""Rows of the ledger by subject."""
