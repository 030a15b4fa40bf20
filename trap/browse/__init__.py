"""The archive in a terminal: `spamtrap archive browse`. Only that command imports it, as Textual is large."""
