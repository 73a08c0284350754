"""The twin network: backbones, heads, views of photo and chip."""
