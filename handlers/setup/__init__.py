"""`registrar setup`: connect a Slack workspace, step by step."""
