"""witw: from a list of cities to a trained photo-to-satellite geolocalizer."""

__version__ = "0.2.0"
