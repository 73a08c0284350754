"""Made cities and a stand-in for Flickr; nothing but the tests imports this."""
