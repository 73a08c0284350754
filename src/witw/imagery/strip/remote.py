"""Remote files through GDAL's virtual file systems: names, listings, error causes.

No result of this module contains credentials.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

import certifi
from osgeo import gdal

OPTIONS = {
    "GDAL_HTTP_MAX_RETRY": "5",
    "GDAL_HTTP_RETRY_DELAY": "2",
    # Without these timeouts, a host that drops packets blocks a job forever.
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_LOW_SPEED_TIME": "60",
    # Side files are requested by name: a bucket's folder may list thousands of names.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "AWS_REGION": "us-east-1",
}
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
CERTIFICATES = "GDAL_CURL_CA_BUNDLE"
SECRETS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GDAL_HTTP_USERPWD",
    "GDAL_HTTP_BEARER",
    "GDAL_HTTP_HEADERS",
)
DENIED = "access is denied"
NO_BUCKET, NO_FILE = "there is no such bucket", "there is no such file"
UNREACHED, TROUBLE = "the server cannot be reached", "the server is in trouble; try again later"
# Schemes of object stores, and GDAL's folder for each.
STORES = {"s3://": "/vsis3/", "gs://": "/vsigs/", "az://": "/vsiaz/"}
# Names that are shown of a folder, and names that are read.
TOLD, LISTED = 6, 1000
# Texts of servers and GDAL, and their meaning for the user; the first match is used.
REASONS = (
    (r"bucket does not exist|NoSuchBucket|ContainerNotFound", NO_BUCKET),
    (r"response code: 4(04|10)|key does not exist|NoSuchKey|BlobNotFound", NO_FILE),
    (
        r"No valid AWS credentials|credentials file",
        "no AWS credentials are found; give them, or set AWS_NO_SIGN_REQUEST=YES for a public "
        "bucket",
    ),
    (
        r"response code: 40[13]|Access ?Denied|Forbidden|Access ?Key ?Id|[Ss]ignature",
        DENIED,
    ),
    (r"(?i)CURL error.*(certificate|SSL)", "the server's certificate is not trusted"),
    (r"CURL error|resolve host|response code: 0", UNREACHED),
    (r"response code: (429|5\d\d)", TROUBLE),
    (
        r"Range downloading not supported",
        "its server does not answer byte ranges; download it and give the file's path",
    ),
)


def configure() -> None:
    """Configure GDAL's network; settings in the environment take precedence.

    Buckets are treated as public unless there are credentials.
    """
    options = dict(OPTIONS)
    if not has_credentials():
        options["AWS_NO_SIGN_REQUEST"] = "YES"
    for name, value in options.items():
        if not os.environ.get(name):
            gdal.SetConfigOption(name, value)
    _trust()


def _trust() -> None:
    """Tell both GDAL libraries which certificates to trust: the user's, else certifi's.

    Their wheels look in a place that Debian does not use, and rasterio overrides the user's
    setting.
    """
    usual = certifi.where()
    if os.environ.get(CERTIFICATES, usual) == usual:
        told = [os.environ.get(name) for name in ("CURL_CA_BUNDLE", "SSL_CERT_FILE")]
        os.environ[CERTIFICATES] = next(filter(None, told), usual)


def has_credentials() -> bool:
    """Return whether AWS credentials exist where GDAL looks for them."""
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    return any(os.environ.get(key) for key in CREDENTIALS) or Path(file).expanduser().is_file()


def gdal_name(path: str) -> str:
    """Return GDAL's name of a path: `s3://` becomes `/vsis3/`, `http(s)://` `/vsicurl/`."""
    for scheme, folder in STORES.items():
        if path.startswith(scheme):
            return folder + path.removeprefix(scheme)
    return f"/vsicurl/{path}" if re.match(r"https?://", path) else path


def user_name(name: str) -> str:
    """Return the path that :func:`gdal_name` maps to a name."""
    for scheme, folder in STORES.items():
        if name.startswith(folder):
            return scheme + name.removeprefix(folder)
    return name.removeprefix("/vsicurl/")


def is_absent(why: str) -> bool:
    """Return whether a reason says that a file is missing or not accessible."""
    return any(told in why for told in (NO_BUCKET, NO_FILE, DENIED))


def is_unsure(why: str) -> bool:
    """Return whether a reason is about the server and says nothing about the file."""
    return any(told in why for told in (UNREACHED, TROUBLE))


def holds(path: str) -> str:
    """List the folder of a missing file, else the nearest folder above it.

    Args:
        path: Path from the config.

    Returns:
        Words such as "s3://b/AOIs/ holds AOI_1/ and a.tif"; "" if no folder can be listed.
    """
    folder, _, wanted = gdal_name(path).rpartition("/")
    while folder.count("/") > (4 if folder.startswith("/vsicurl/") else 1) or (
        folder and not folder.startswith("/vsi")
    ):
        if "*" not in folder and (names := _entries(f"{folder}/")):
            near = difflib.get_close_matches(wanted, names, TOLD, 0)
            more = len(names) - len(near)
            rest = f"{more}{'+' if len(names) >= LISTED else ''} more"
            return f"{user_name(folder)}/ holds {_and([*near, rest] if more else near)}"
        folder, _, wanted = folder.rpartition("/")
    return ""


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _entries(folder: str) -> list[str]:
    """Return names in a folder, folders with a trailing slash; empty if it cannot be listed."""
    found: list[str] = []
    with gdal.ExceptionMgr(useExceptions=False), gdal.quiet_errors():
        listing = gdal.OpenDir(folder, 0)
        while listing and len(found) < LISTED and (entry := gdal.GetNextDirEntry(listing)):
            found.append(entry.name + "/" * entry.IsDirectory())
        if listing:
            gdal.CloseDir(listing)
    return sorted(name for name in found if name.strip("/"))


def shown(text: str) -> str:
    """Return a text without credentials: no user or query in addresses, no value of SECRETS."""
    for name in SECRETS:
        if value := os.environ.get(name):
            text = text.replace(value, "***")
    return re.sub(r"(\w+://)[^/\s@]*@", r"\1", re.sub(r"(\w+://[^\s?]*)\?\S*", r"\1", text))


def matching(pattern: str) -> list[str]:
    """Return names of matching files, sorted; `*` may occur in any part but the first.

    Args:
        pattern: GDAL's name, with `*`.

    Raises:
        RuntimeError: A folder cannot be listed; the message gives the reason.
    """
    whole = pattern.split("*", 1)[0]
    root = whole[: whole.rindex("/")]
    return sorted(_walk(root, pattern[len(root) + 1 :].split("/")))


def _walk(folder: str, parts: list[str]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    found = [part]
    if "*" in part:
        # Only `*` is special: `[` and `?` are ordinary characters in addresses.
        plain = part.replace("[", "[[]").replace("?", "[?]")
        found = [n.rstrip("/") for n in _listed(folder) if fnmatch.fnmatchcase(n, plain)]
    for name in found:
        if rest:
            yield from _walk(f"{folder}/{name}", rest)
        else:
            yield f"{folder}/{name}"


def _listed(folder: str) -> list[str]:
    gdal.VSIErrorReset()
    try:
        found = gdal.ReadDir(folder)
        text = gdal.VSIGetLastErrorMsg() or (_answer(f"{folder}/") if found is None else "")
    except RuntimeError as error:
        found, text = None, str(error)
    # A bucket's folder is not an object, so a missing folder proves nothing.
    if found is None and text and ("bucket" in text or not re.search(REASONS[1][0], text)):
        raise RuntimeError(meaning(text, folder))
    return found or []


def reason(name: str, text: str) -> str:
    """Return why a file could not be opened, in the user's terms.

    Args:
        name: GDAL's name.
        text: GDAL's error. For a file behind an address the server is asked again for its reason.
    """
    if not name.startswith("/vsi"):
        return " ".join(text.split()).rstrip(".")
    if not any(re.search(pattern, text) for pattern, _ in REASONS):
        text = _answer(name) or text
    return meaning(text, name)


def _answer(name: str) -> str:
    """Return a server's error for a file; "" if it delivers the file."""
    gdal.VSICurlPartialClearCache(name)
    gdal.VSIErrorReset()
    with gdal.config_options({"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}):
        try:
            handle = gdal.VSIFOpenExL(name, "rb", 1)
        except RuntimeError as error:
            return str(error)
        text = gdal.VSIGetLastErrorMsg()
        if handle is not None:
            gdal.VSIFCloseL(handle)
    return str(text or "")


def meaning(text: str, name: str) -> str:
    """Return the meaning of GDAL's text about a file; if unknown, the text without secrets."""
    for pattern, told in REASONS:
        if re.search(pattern, text):
            return f"{told} {_advice(name)}" if told == DENIED else told
    return " ".join(shown(text).split()).rstrip(".")


def _advice(name: str) -> str:
    """Return what to do if access is denied."""
    if name.startswith(("/vsigs/", "/vsiaz/")):
        key = "GS_OAUTH2_REFRESH_TOKEN, GOOGLE_APPLICATION_CREDENTIALS or GS_NO_SIGN_REQUEST=YES"
        if name.startswith("/vsiaz/"):
            key = "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and its key"
        return f"(give {key} in the environment)"
    if not name.startswith("/vsis3/"):
        return "(GDAL_HTTP_USERPWD or GDAL_HTTP_BEARER in the environment can hold a login)"
    if gdal.GetConfigOption("AWS_NO_SIGN_REQUEST", "NO").upper() in ("YES", "TRUE", "ON", "1"):
        return (
            "to anyone without credentials; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "correct the path"
        )
    return (
        "with the AWS credentials in the environment; correct them, or set "
        "AWS_NO_SIGN_REQUEST=YES for a public bucket"
    )
