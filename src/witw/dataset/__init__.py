"""Data set: pairs, dataset, pack; card, Croissant, credit and funnel."""
