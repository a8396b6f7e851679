"""How a command line is read, and what help and completion list."""
