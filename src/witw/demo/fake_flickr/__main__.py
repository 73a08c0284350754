"""Command line of the Flickr stand-in: ``python -m witw.demo.fake_flickr``."""

from __future__ import annotations

import argparse
import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from witw import stage
from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.crowd import paris
from witw.demo.fake_flickr.catalog.query import Catalog
from witw.demo.fake_flickr.catalog.records import load_catalog
from witw.demo.fake_flickr.faults import Faults
from witw.demo.fake_flickr.pictures import Picture, drawn, folder_of_jpegs, folder_pictures
from witw.demo.fake_flickr.server import FlickrServer
from witw.errors import UserError

log = logging.getLogger("witw")


def main(argv: Sequence[str] | None = None) -> None:
    """Serve a catalog, or a synthetic crowd, until interrupted."""
    args = _parser().parse_args(argv)
    behaviour, faults = switches(args.set, args.seed)
    catalog = (
        Catalog(load_catalog(args.catalog), behaviour=behaviour)
        if args.catalog
        else Catalog.from_columns(paris(args.crowd, seed=args.seed), behaviour)
    )
    with FlickrServer(
        catalog, _pictures(args), port=args.port, key=args.key, secret=args.secret, faults=faults
    ) as server:
        log.info("%d photos; flickr.api_url: %s", len(catalog.photos), server.api_url)
        log.info("flickr.photo_hosts: [%s]; press Ctrl-C to stop", server.photo_host)
        log.info("log of requests: %s/_log", server.url)
        threading.Event().wait()


def _parser() -> argparse.ArgumentParser:
    known = ", ".join(f.name for kind in (Behaviour, Faults) for f in fields(kind))
    parser = argparse.ArgumentParser(
        prog="python -m witw.demo.fake_flickr",
        description="A Flickr stand-in on 127.0.0.1.",
        epilog=(
            f"Switches for --set: {known}. They are described in "
            "witw/demo/fake_flickr/behaviour.py and faults.py."
        ),
    )
    known_photos = parser.add_mutually_exclusive_group(required=True)
    known_photos.add_argument("--catalog", type=Path, help="parquet file of the photos")
    known_photos.add_argument("--crowd", type=int, metavar="N", help="N synthetic photos of Paris")
    parser.add_argument(
        "--photos", type=Path, help="folder of {id}.jpg files; default: drawn pictures"
    )
    parser.add_argument("--any-photos", type=Path, help="folder of JPEGs with any names, instead")
    parser.add_argument("--port", type=int, default=0, help="port; 0: any free one")
    parser.add_argument("--key", help="only accepted key; default: any")
    parser.add_argument("--secret", help="secret of the key, with which signatures are verified")
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SWITCH=VALUE",
        help="for example lag=0.003, replicas=3, hourly=3600 or api_503=0.1; may be repeated",
    )
    return parser


def _pictures(args: argparse.Namespace) -> Picture:
    if args.any_photos:
        return folder_of_jpegs(args.any_photos)
    return folder_pictures(args.photos) if args.photos else drawn


def switches(texts: Sequence[str], seed: int) -> tuple[Behaviour, Faults]:
    """Parse ``name=value`` texts into behaviour and faults.

    Raises:
        UserError: A switch is unknown or has an invalid value.
    """
    chosen: dict[type, dict[str, Any]] = {Behaviour: {"seed": seed}, Faults: {"seed": seed}}
    for text in texts:
        name, _, value = text.partition("=")
        owners = [kind for kind in chosen if name in get_type_hints(kind)]
        if not owners:
            raise UserError(f"--set {text}: there is no switch {name!r}; --help lists them.")
        for kind in owners:
            chosen[kind][name] = _value(text, value, get_type_hints(kind)[name])
    return Behaviour(**chosen[Behaviour]), Faults(**chosen[Faults])


def _value(text: str, value: str, kind: Any) -> Any:
    """Convert ``value`` to the type of a field."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UserError(f"--set {text}: choose one of {', '.join(get_args(kind))}.")
        return value
    kinds = get_args(kind) or (kind,)
    if value.lower() == "none" and type(None) in kinds:
        return None
    try:
        made = json.loads(value.lower())
    except ValueError:
        made = None
    if isinstance(made, int) and not isinstance(made, bool) and float in kinds:
        made = float(made)
    if type(made) not in kinds or made is None:
        names = " or ".join(k.__name__ for k in kinds if k is not type(None))
        raise UserError(f"--set {text}: {name_of(text)} is of type {names}.")
    return made


def name_of(text: str) -> str:
    """Return the name in ``name=value``."""
    return text.partition("=")[0]


if __name__ == "__main__":
    stage.execute(main)
