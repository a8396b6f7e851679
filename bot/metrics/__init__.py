"""Registrar's own metrics."""
