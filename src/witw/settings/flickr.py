"""Section ``flickr``: the service that lists photos."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from witw.settings.base import Section


class Flickr(Section):
    """The Flickr API, or any server that implements it."""

    api_url: str = Field(
        "https://api.flickr.com/services/rest/", description="Address of the REST endpoint."
    )
    photo_hosts: list[str] = Field(
        ["live.staticflickr.com", "*.staticflickr.com"],
        min_length=1,
        description=(
            "Hosts from which photos may be fetched, as `host`, `host:port`, "
            "`http://host:port` or `*.domain` (all of its hosts). Only https is used "
            "unless the entry says http or names a loopback address. The first entry must "
            "be a single host; it serves photos whose record has no address."
        ),
    )
    contact: str = Field(
        "", description="E-mail address or web page of the operator, sent in the User-Agent."
    )
    calls_per_hour: int = Field(
        3600,
        ge=1,
        le=3600,
        description=(
            "API calls per hour, summed over all searches with this key on this machine; "
            "Flickr allows 3,600 [calls]."
        ),
    )

    @field_validator("photo_hosts")
    @classmethod
    def _first_is_a_host(cls, value: list[str]) -> list[str]:
        if value[0].startswith("*"):
            raise ValueError(f"the first one must be a single host, not {value[0]!r}")
        return value

    @field_validator("api_url")
    @classmethod
    def _http(cls, value: str) -> str:
        with suppress(ValueError):  # of brackets and ports
            if re.match(r"https?://[^/\s]+", value) and urlsplit(value).port != 0:
                return value
        raise ValueError(f"{value!r} is not an http(s) address")
