"""`registrar audit evidence`: what the ledger shows about a control, as text, JSON, or one HTML page."""
