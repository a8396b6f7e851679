"""What every other part builds on: errors, the clock, the change feed, and the state file."""
