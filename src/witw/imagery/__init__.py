"""Imagery side: from source rasters to chips. Knows nothing of Flickr or torch."""
