"""Made cities and a stand-in for Flickr; only tests and benchmarks import this."""
