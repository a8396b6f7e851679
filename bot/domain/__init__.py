"""The ground floor: words, rules and states. No input or output, no clock."""
