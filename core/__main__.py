"""``python -m medforge``: the same as the command ``medforge``."""

from medforge.cli import main

main()
