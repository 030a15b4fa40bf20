"""What a message wants of its reader, and what came with it."""
