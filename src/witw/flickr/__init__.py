"""Flickr side: what is listed and what is fetched. Knows nothing of imagery or torch."""
