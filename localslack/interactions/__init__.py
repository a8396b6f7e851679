"""People's actions in the workspace, and what they see."""
