"""What happened, and proof that it’s whole."""
