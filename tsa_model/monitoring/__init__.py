"""What the scores of production are worth, day by day. Imports scoring and what stands below it."""
