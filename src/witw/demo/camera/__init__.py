"""Photos of a synthetic city: ray casting, rendering, film, rooms."""
