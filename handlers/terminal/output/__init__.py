"""The terminal's output: text for people, JSON and CSV for programs."""
