"""Reads the evidence from the ledger."""
