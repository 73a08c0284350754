"""Synthetic cities and a Flickr stand-in; only tests and benchmarks import this."""
