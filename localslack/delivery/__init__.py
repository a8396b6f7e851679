"""How payloads reach the app, and the trigger ids and response URLs that they carry."""
