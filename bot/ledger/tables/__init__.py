"""The ledger’s tables by subject. A column has the name of the field that it holds."""
