"""Push a model, with its card, to a Hugging Face repository.

The token comes from ``HF_TOKEN`` or ``hf auth login``. ``hf://OWNER/NAME`` reads the model back.
"""

from __future__ import annotations

import argparse
from pathlib import Path

PATHS = ("model",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("repo", metavar="OWNER/NAME", help="repository, created if necessary")
    parser.add_argument(
        "--model", type=Path, metavar="FILE", default=Path("results/model/witw.safetensors"),
        help="model file; default: the model of the run folder",
    )  # fmt: skip
    parser.add_argument("--private", action="store_true", help="create a private repository")
    parser.add_argument("--card", action="store_true", help="only print the card")


def command(args: argparse.Namespace) -> None:
    """Run ``witw push-model``."""
    # huggingface_hub takes a second to import.
    from witw.locating.hub import push
    from witw.locating.model_card import card
    from witw.model_facts import read_facts

    if args.card:
        print(card(read_facts(args.model), args.repo))  # noqa: T201
    else:
        print(push(args.model, args.repo, args.private))  # noqa: T201
