"""``python -m witw.report``."""

from witw import stage
from witw.report import main

if __name__ == "__main__":
    stage.execute(main)
