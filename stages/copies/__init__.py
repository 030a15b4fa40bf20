"""What dedup knows of texts: what makes two of them copies, and which campaigns there are."""
