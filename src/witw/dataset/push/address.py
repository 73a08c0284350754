"""Addresses of copies, ``s3://bucket/prefix`` and the like, and the stores behind them."""

from __future__ import annotations

import configparser
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from obstore.store import LocalStore, from_url

from witw.dataset.push.local import local_folder
from witw.errors import UserError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

_ADDRESS = re.compile(r"(?:(?:s3|gs|az)://[\w.$-]+|file://)(?:/(?!\.{1,2}(?:/|$))[^/?#@\0-\x1f]+)*")
# The first question is answered within seconds or not at all; uploads may take their time. A file
# of 8 MiB needs minutes on a slow line that other uploads share.
_QUICK: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
_CONNECT, _ANSWER, _UPLOAD = timedelta(seconds=4), timedelta(seconds=20), timedelta(minutes=5)
# Either of them names credentials that take precedence over a profile.
_OTHER = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


def parse(text: str) -> str:
    """Return an address without its final slash and without percent-encoding.

    Raises:
        UserError: it is no address, or contains credentials.
    """
    url = unquote(text).rstrip("/")
    if re.search(r"@|[?&]", url):
        raise UserError(
            "The address may contain neither `@` nor `?`: give credentials in the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)."
        )
    if not _ADDRESS.fullmatch(url) or url == "file:":
        raise UserError(
            f"{text!r} is not an address to push to: write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, "
            "az://CONTAINER/PREFIX or file:///FOLDER."
        )
    return url


def open_store(url: str, patient: bool) -> ObjectStore:
    """Open the store of an address; nothing is asked yet.

    Args:
        url: as :func:`parse` returns it.
        patient: retry for minutes, as an upload should, instead of seconds.

    Raises:
        UserError: the AWS profile or endpoint is unusable.
    """
    if target := local_folder(url):
        return LocalStore(target, mkdir=True)
    config: S3Config = _profile() if url.startswith("s3://") else {}
    endpoint = next(filter(None, map(os.environ.get, _ENDPOINTS)), config.get("endpoint", ""))
    if url.startswith("s3://") and endpoint and not re.match(r"https?://[^/]", endpoint):
        raise UserError(
            f"The endpoint {endpoint} of the S3 service does not begin with http:// or https://; "
            "correct AWS_ENDPOINT_URL, or the profile's endpoint_url."
        )
    options: ClientConfig = {
        "connect_timeout": _CONNECT,
        "timeout": _UPLOAD if patient else _ANSWER,
        "allow_http": endpoint.startswith("http://"),
    }
    return from_url(
        quote(url, safe=":/$"),
        config=config,
        client_options=options,
        retry_config=None if patient else _QUICK,
    )


def _profile() -> S3Config:
    """Return the keys, region and endpoint of the AWS profile, which the library does not read.

    Settings in the environment take precedence.

    Raises:
        UserError: AWS_PROFILE names a profile without keys, or a file is not readable.
    """
    if any(os.environ.get(name) for name in _OTHER):
        return {}
    wanted = os.environ.get("AWS_PROFILE")
    name = wanted or "default"
    keys = _section("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", name)
    rest = _section("AWS_CONFIG_FILE", "~/.aws/config", f"profile {name}" if wanted else name)
    if "aws_access_key_id" not in (both := rest | keys):
        if not wanted:
            return {}
        raise UserError(
            f"The AWS profile {name} has no access key in ~/.aws: for a profile that signs in or "
            f'assumes a role, first run `eval "$(aws configure export-credentials --profile {name} '
            '--format env)"`.'
        )
    found: S3Config = {
        "access_key_id": both["aws_access_key_id"],
        "secret_access_key": both.get("aws_secret_access_key", ""),
    }
    if "aws_session_token" in both:
        found["session_token"] = both["aws_session_token"]
    if "region" in both and not (
        os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    ):
        found["region"] = both["region"]
    if "endpoint_url" in both and not any(map(os.environ.get, _ENDPOINTS)):
        found["endpoint"] = both["endpoint_url"]
    return found


def _section(variable: str, usual: str, name: str) -> dict[str, str]:
    path = Path(os.environ.get(variable) or usual).expanduser()
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        # Its message would quote the line, which may be a key.
        raise UserError(f"{path} is not readable as an AWS file; correct it.") from None
    return dict(parser[name]) if parser.has_section(name) else {}
