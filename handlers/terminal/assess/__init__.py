"""`registrar assess`: what a registry contains, as text, JSON, or one HTML page."""
