"""A message made readable: parsed in a child process with limits, for the web page and the terminal."""
