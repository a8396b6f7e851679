"""The steps of setup, and what runs them."""
