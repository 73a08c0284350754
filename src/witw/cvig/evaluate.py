"""Evaluate."""

VERSION = 1
READS = ()
