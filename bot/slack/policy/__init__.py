"""Who can do what, and when."""
