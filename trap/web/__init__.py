"""The web interface: the archive, the pipeline and its queues, for people and for programs."""
