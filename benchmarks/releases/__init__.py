"""What was measured for each release, and the picture that compares the ratios."""
