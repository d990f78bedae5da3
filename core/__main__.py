"""``python -m medforge``: the same as the command ``medforge``."""

from medforge.cli import main

# a worker process imports this module again
if __name__ == "__main__":
    main()
