"""Makes a message readable, in a child process with limits, for the web page and the terminal."""
