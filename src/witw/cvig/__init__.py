"""Cross-view geolocalization: train, evaluate, index, locate, resplit, leave_one_out."""
