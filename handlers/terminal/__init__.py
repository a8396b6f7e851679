"""`registrar register`, `compare` and `best`: the verbs of Slack at the terminal, from the same definitions."""
