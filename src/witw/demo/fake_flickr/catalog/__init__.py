"""The stand-in's photos: records, columns, queries, crowds."""
