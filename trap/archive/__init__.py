"""The archive: segments that only grow, and an index that can be thrown away."""
