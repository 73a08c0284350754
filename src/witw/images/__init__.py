"""Pictures: photo opens one, resize fits it to the network; libjpeg's warnings are errors."""
