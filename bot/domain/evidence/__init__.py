"""Evidence for auditors: what the ledger shows about a control over a period."""
