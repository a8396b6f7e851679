"""Stores that read and write the ledger's rows, by subject."""
