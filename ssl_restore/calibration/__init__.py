"""What the degradation of a folder looks like, in numbers with units."""
