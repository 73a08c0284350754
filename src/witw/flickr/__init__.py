"""Flickr: search, shards, download. Imports neither imagery nor torch."""
