"""Registrar’s own metrics."""
