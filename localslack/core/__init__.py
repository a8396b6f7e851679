"""The code that the other packages share: errors, the clock, the change feed, and the state file."""
