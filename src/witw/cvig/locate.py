"""Locate."""

VERSION = 1
READS = ()
