"""What the stage report writes: counts of a period, without the identities of the trap."""
