"""Services for stage transitions and registry state."""
