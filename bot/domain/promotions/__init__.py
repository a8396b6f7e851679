"""Requests, approvals, and gates."""
