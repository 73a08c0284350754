"""Flickr: search, shards, download. Knows nothing of imagery or torch."""
