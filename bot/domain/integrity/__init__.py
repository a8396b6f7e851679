"""File integrity: exactly which files a version has, byte for byte."""
