"""The Slack adapter: builds messages and views from domain objects, and implements the ports that call Slack."""
