"""Menus of the forms, and the buttons that open a form again."""
