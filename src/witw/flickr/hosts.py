"""Rules of ``flickr.photo_hosts``: which addresses photos may be fetched from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from yarl import URL

PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet's: not loopback, private, link-local."""
    try:
        found: _Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(found) % 2**32) if found in _NAT64 else None
        found = found.ipv4_mapped or found.sixtofour or nat64 or found
    return found.is_global and not found.is_multicast


def origin(url: str) -> Origin | None:
    """Scheme, host and port of an http(s) address; None: it is no such address."""
    try:
        parts = URL(url)  # the parser of the client that fetches: no two readings of an address
        scheme, host, port = parts.scheme, parts.raw_host, parts.port
    except ValueError:
        return None
    if scheme not in PORTS or not host or port is None or parts.user is not None:
        return None
    return scheme, host, port


def host_of(url: str) -> str:
    """Host of an address; '' if it is no http(s) address."""
    found = origin(url)
    return found[1] if found else ""


def allowed(entries: Sequence[str]) -> frozenset[Origin]:
    """Origins of ``flickr.photo_hosts``: ``host``, ``host:port`` or ``http://host:port``.

    https only, unless the entry says http or names a loopback address.

    Raises:
        ValueError: an entry is none of these; it is the argument.
    """
    origins = set()
    for entry in entries:
        found = origin(entry if "://" in entry else f"https://{entry}")
        if found is None:
            raise ValueError(entry)
        origins.add(found)
        if "://" not in entry and is_loopback(found[1]):
            origins.add(("http", found[1], URL(f"http://{entry}").port or PORTS["http"]))
    return frozenset(origins)


def named(origins: Iterable[Origin]) -> frozenset[str]:
    """Hosts of which the config itself says that they are not on the open internet.

    A public name must not lead to such an address (it would let whoever holds the name reach into
    the user's network) unless the config lists that address beside the name.
    """
    hosts = {host for _, host, _ in origins}
    return frozenset(host for host in hosts if is_loopback(host) or _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def refusal(url: str, origins: frozenset[Origin]) -> str:
    """Why an address must not be fetched from; '' if it may."""
    found = origin(url)
    if found is None:
        return "no address" if not url else "not an http(s) address"
    if found in origins:
        return ""
    scheme, host, port = found
    where = host if port == PORTS[scheme] else f"{host}:{port}"
    if any(known == host for _, known, _ in origins):
        return f"{scheme}://{where} is not as `flickr.photo_hosts` says"
    return f"host {where} is not one of `flickr.photo_hosts`"


def redirect(source: str, location: str) -> tuple[str, str]:
    """Where a redirect leads: an address on the same host, or why the photo is gone.

    Hosts redirect the addresses of removed photos to a picture that says so, or to a login.

    Returns:
        The address to go on with and '', or '' and a reason.
    """
    try:
        target = str(URL(source).join(URL(location)))
    except ValueError:
        target = ""
    found = origin(target)
    if found is None:
        return "", "redirected to no address"
    if found != origin(source):
        return "", f"redirected to host {found[1]}"
    if "unavailable" in URL(target).path:
        return "", "redirected to a placeholder"
    return target, ""
