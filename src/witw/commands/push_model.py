"""Push a model, with its card, to a repository of Hugging Face.

The token is taken from ``HF_TOKEN`` or ``hf auth login``. Read it back as ``hf://OWNER/NAME``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

PATHS = ("model",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("repo", metavar="OWNER/NAME", help="repository; made where there is none")
    parser.add_argument(
        "--model", type=Path, metavar="FILE", default=Path("results/model/witw.safetensors"),
        help="default: the run folder's",
    )  # fmt: skip
    parser.add_argument("--private", action="store_true", help="where it is made")
    parser.add_argument("--card", action="store_true", help="only print the card")


def command(args: argparse.Namespace) -> None:
    """``witw push-model``."""
    # huggingface_hub takes a second to import.
    from witw.locating.hub import push
    from witw.locating.model_card import card
    from witw.model_facts import read_facts

    if args.card:
        print(card(read_facts(args.model), args.repo))  # noqa: T201
    else:
        print(push(args.model, args.repo, args.private))  # noqa: T201
