"""Used by every other package: errors, the clock, the change feed, and the state file."""
