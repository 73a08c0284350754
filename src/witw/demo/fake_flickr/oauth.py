"""Verify signed requests: OAuth 1.0 (RFC 5849), HMAC-SHA1."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote


def parse_authorization(header: str) -> dict[str, str]:
    """Return the parameters of an ``Authorization: OAuth ...`` header (RFC 5849, 3.5.1).

    The realm is left out.
    """
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "oauth":
        return {}
    pairs = re.findall(r'([A-Za-z_]+)="([^"]*)"', rest)
    return {name: unquote(value) for name, value in pairs if name != "realm"}


def signature_holds(method: str, url: str, params: Mapping[str, str], secret: str) -> bool:
    """Return whether ``oauth_signature`` is the request's HMAC-SHA1 (RFC 5849, 3.4), no token."""

    def escape(text: str) -> str:
        return quote(text, safe="-._~")

    pairs = sorted(
        (escape(name), escape(value)) for name, value in params.items() if name != "oauth_signature"
    )
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    base = "&".join((method, escape(url), escape(joined)))
    digest = hmac.new(f"{escape(secret)}&".encode(), base.encode(), hashlib.sha1).digest()
    return hmac.compare_digest(base64.b64encode(digest).decode(), params.get("oauth_signature", ""))
