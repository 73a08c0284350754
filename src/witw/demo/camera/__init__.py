"""Photos of a synthetic city: raycast, render, film, rooms."""
