"""What several stages need to read mail."""
