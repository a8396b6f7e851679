"""Read the evidence from the ledger."""
