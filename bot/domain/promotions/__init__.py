"""Requests for promotions: approvals and gates."""
