"""Delivery of payloads to the app, and their trigger IDs and response URLs."""
