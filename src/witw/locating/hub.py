"""Models in repositories of Hugging Face: ``hf://OWNER/NAME[/FILE][@REVISION]``.

Through huggingface_hub: its cache, its token (``HF_TOKEN`` or ``hf auth login``), its
``HF_ENDPOINT``.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from witw.errors import UserError
from witw.locating.model_card import card
from witw.model_facts import read_facts

# It tells of every request.
for _name in ("httpx", "httpx2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

FILE = "witw.safetensors"
_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+?)(?:/([\w./-]+?))?(?:@([\w./-]+))?")


@dataclass(frozen=True)
class Address:
    """Where a model lies.

    Attributes:
        repo: owner and name.
        file: in the repository.
        revision: branch, tag or commit; None: its main branch.
    """

    repo: str
    file: str = FILE
    revision: str | None = None


def parse(text: str) -> Address:
    """Read an address.

    Raises:
        UserError: it is none.
    """
    found = _ADDRESS.fullmatch(text)
    if not found:
        raise UserError(
            f"{text} is not the address of a model: write hf://OWNER/NAME, hf://OWNER/NAME/FILE, "
            "or either with @REVISION."
        )
    return Address(found[1], found[2] or FILE, found[3])


def fetch(text: str) -> Path:
    """Fetch a model, unless the cache has it; without a network, what the cache has.

    Returns:
        Its file in the cache of huggingface_hub, seen to be a model.

    Raises:
        UserError: it cannot be fetched, or is none.
    """
    at = parse(text)
    try:
        path = Path(hf_hub_download(at.repo, at.file, revision=at.revision))
    except RepositoryNotFoundError:
        reason = "there is no such repository, or it is private and no token gives access"
    except RevisionNotFoundError:
        reason = f"the repository has no revision {at.revision}"
    except LocalEntryNotFoundError:
        reason = "the service cannot be reached, and the cache does not have it"
    except EntryNotFoundError:
        reason = f"the repository has no file {at.file}"
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
    else:
        read_facts(path)
        return path
    raise UserError(f"{text} cannot be fetched: {reason}.")


def push(model: Path, repo: str, private: bool = False) -> str:
    """Push a model, with its card, to a repository, which is made where there is none.

    Args:
        model: its file.
        repo: owner and name.
        private: whether a repository that is made is seen by its owner alone.

    Returns:
        Address of the commit.

    Raises:
        UserError: the file is not a model, or the service refuses.
    """
    facts = read_facts(model)
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        done = api.create_commit(
            repo,
            [
                CommitOperationAdd(FILE, str(model)),
                CommitOperationAdd("README.md", card(facts, repo).encode()),
            ],
            commit_message=f"Model of {facts['written_by']}",
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise UserError(
            f"{model} cannot be pushed to {repo}: {reason} (a token that may write is taken from "
            "HF_TOKEN or `hf auth login`)."
        ) from None
    return str(done.commit_url)
