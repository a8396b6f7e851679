"""Command-line parsing, help, and completion."""
