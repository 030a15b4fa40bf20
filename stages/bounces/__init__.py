"""What bounces look like: evidence that a message is one, and what it brings back."""
