"""`registrar demo`: the complete workflow on this machine, without Slack, with real models."""
