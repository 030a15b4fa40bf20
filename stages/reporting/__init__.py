"""What all stages share that tell others of the mail the trap got: whom, what, and what never."""
