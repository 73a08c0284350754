"""Places365: scenes, weights; the network and its categories."""
