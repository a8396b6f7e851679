"""What one person sees first."""
