"""Rules over a message: their language, our own sets, and how often they hit."""
