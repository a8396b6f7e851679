"""Going back in Production, and its history."""
