"""The judgements: every built-in stage, written against the same contract as a user's plugin."""
