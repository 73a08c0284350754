"""Cross-view image geolocalization: the network. Knows nothing of Flickr."""
