"""Everything that can wake us: Slack, a clock, a terminal, an HTTP call. Translators; the rules live in `bot`."""
