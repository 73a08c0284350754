"""witw: from a list of cities to a trained photo-to-satellite geolocalizer."""
