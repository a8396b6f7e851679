"""What the terminal prints: text for people, JSON and CSV for programs."""
