"""Promotion requests: approvals and gates."""
