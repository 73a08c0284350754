"""Two steps of retrieval: vectors find candidates, columns re-rank them and give the heading."""
