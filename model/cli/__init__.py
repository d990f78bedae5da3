"""The commands of whoever uses a merged model."""

from medforge.cli.catalogue import CommandEntry

COMMANDS: tuple[CommandEntry, ...] = ()
