"""Evidence for auditors: what the ledger shows about a control in a period."""
