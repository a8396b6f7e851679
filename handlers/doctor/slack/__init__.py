"""What `registrar doctor` asks Slack."""
