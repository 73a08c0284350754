"""Errors of a store as one clause, without the credentials that an answer may quote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

from witw.errors import UserError

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_WRONG_KEYS = (
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "TokenRefreshRequired", "RequestTimeTooSkewed", "AuthenticationFailed",
)  # fmt: skip
_REGION = ("without LOCATION", "PermanentRedirect", "AuthorizationHeaderMalformed")
# Addresses that are asked for credentials if there are no others.
_NO_KEYS = ("169.254.", "latest/api/token", "computeMetadata", "metadata/identity")
_UNREACHED = ("error sending request", "HTTP error", "timed out", "dns error")


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn errors of the library into a sentence that names the address.

    Raises:
        UserError: the store refuses, or cannot be reached.
    """
    try:
        yield
    except (BaseError, OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"{url} cannot be used: {reason(str(error))}.") from None


def reason(text: str) -> str:
    """Return the reason in an error's text, as a clause."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"non-2xx status code: (\d{3})", text)
    if _has(text, _NO_KEYS):
        return (
            "no credentials are found; for s3://, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE (docs/cloud.md names those of other services)"
        )
    if "Account must be specified" in text:
        return "the account is unknown; set AZURE_STORAGE_ACCOUNT_NAME"
    if _has(text, _NO_BUCKET):
        return "there is no such bucket; create it, or correct the name or AWS_ENDPOINT_URL"
    if _has(text, _REGION):
        return "the bucket is in another region; set AWS_REGION"
    if _has(text, _WRONG_KEYS):
        named = next(word for word in _WRONG_KEYS if word in text)
        return f"the credentials are refused ({named})"
    if status and status[1] in ("401", "403"):
        return "access is denied; the credentials must allow to list, read, write and delete"
    if status:
        return f"the service answers {status[1]}{f' ({code[1]})' if code else ''}"
    if _has(text, _UNREACHED):
        return "the service cannot be reached; check the network and AWS_ENDPOINT_URL"
    if local := re.search(r"LocalFileSystem error: .*: (.+) \(os error \d+\)", text):
        return f"the file system answers `{local[1]}`"
    first = text.partition("Debug source")[0]
    return " ".join(first.split())[:200].rstrip(".") or "the library gives no reason"


def _has(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)
