"""Everything concrete is built here."""
