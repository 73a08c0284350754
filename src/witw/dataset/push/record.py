"""Record of the copies that ``witw push-dataset`` made, so that ``witw forget`` can name them.

The record is ``photos/pushed.json``, beside the registry of forgotten photos, which no rebuild
deletes: ``{"s3://bucket/prefix": "results/dataset"}``. It contains no credentials.
"""

from __future__ import annotations

import json

from witw.errors import UserError
from witw.files import write_json
from witw.store import ROOT

PATH = ROOT / "pushed.json"


def load() -> dict[str, str]:
    """Return the pushed folder of each address; empty without a record.

    Raises:
        UserError: the file is not readable.
    """
    try:
        data = json.loads(PATH.read_text(encoding="utf-8"))
        return {str(url): str(folder) for url, folder in data.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError):
        raise UserError(
            f"{PATH} is not a record as `witw push-dataset` writes it; delete it and push again."
        ) from None


def note(url: str, folder: str | None) -> None:
    """Record a copy, or forget it (None); an unchanged record is not rewritten.

    Raises:
        UserError: as :func:`load`.
    """
    before = load()
    after = {key: value for key, value in before.items() if key != url}
    if folder is not None:
        after[url] = folder
    if after != before:
        write_json(PATH, after)
