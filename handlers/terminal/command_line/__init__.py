"""Parsing of the command line, help, and completion."""
