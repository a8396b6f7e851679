"""Read the App Home from the ledger."""
