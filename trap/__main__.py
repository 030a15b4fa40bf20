"""`python -m trap` is the `spamtrap` command."""

from trap.cli import main

if __name__ == "__main__":
    main()
