"""`registrar demo`: the whole story on this machine, without Slack, on real models."""
