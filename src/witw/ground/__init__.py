"""Where areas lie: boxes and shapes on the earth."""
