"""How payloads reach the app: over Socket Mode or over signed HTTP."""
