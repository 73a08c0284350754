"""Places365 scores."""

VERSION = 1
READS = ("scenes.arch",)
