"""Fetch the 500 px files that are missing."""

VERSION = 1
READS = ("download", "flickr.photo_hosts")
