"""Flickr stand-in on loopback: API, photo host, faults; ``python -m`` runs it."""
