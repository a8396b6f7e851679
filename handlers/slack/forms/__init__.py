"""Menus in forms, and buttons that reopen a form."""
