"""Reads and writes the rows of the ledger, by subject."""
