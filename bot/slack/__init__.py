"""Slack's side of things: domain in, blocks out; and the two plugs that call Slack, notifier and directory."""
