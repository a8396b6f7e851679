"""The lowest layer: vocabulary, rules, and states. It does no I/O and never reads the clock."""
