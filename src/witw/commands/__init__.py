"""Subcommands of the command ``witw``."""
