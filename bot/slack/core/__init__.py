"""What every other part is made of."""
