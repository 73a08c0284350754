"""Pictures: open photos completely, with libjpeg's warnings as errors, and resize them."""
