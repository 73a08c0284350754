"""Imagery side: from source rasters to chips. Knows nothing of Flickr or torch."""

# Side of a tile of the UTM rasters [px].
TILE = 512
