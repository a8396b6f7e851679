"""Monitors, their rules, and incidents."""
