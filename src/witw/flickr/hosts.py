"""Rules of ``flickr.photo_hosts``: the addresses from which photos may be fetched."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from yarl import URL

ANY = "*."  # prefix of an entry that stands for all hosts of a domain
PORTS = {"http": 80, "https": 443}
# prefix of the file names of Flickr's notices, such as photo_unavailable_l.png
NOTICE = "photo_unavailable"
Origin = tuple[str, str, int]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Return whether an IP address is public: not loopback, private or link-local."""
    try:
        found: _Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(found) % 2**32) if found in _NAT64 else None
        found = found.ipv4_mapped or found.sixtofour or nat64 or found
    return found.is_global and not found.is_multicast


def origin(url: str) -> Origin | None:
    """Return scheme, host and port of an http(s) address; None if it is not one."""
    try:
        parts = URL(url)  # the same parser as the HTTP client's, so that both read an address alike
        scheme, host, port = parts.scheme, parts.raw_host, parts.port
    except ValueError:
        return None
    if scheme not in PORTS or not host or port is None or parts.user is not None:
        return None
    return scheme, host, port


def host_of(url: str) -> str:
    """Return the host of an http(s) address; '' if it is not one."""
    found = origin(url)
    return found[1] if found else ""


def allowed(entries: Sequence[str]) -> frozenset[Origin]:
    """Return the origins listed in ``flickr.photo_hosts``.

    An entry is ``host``, ``host:port``, ``http://host:port``, or ``*.domain`` for all hosts below a
    domain. Only https is allowed, unless the entry says http or names a loopback address.

    Raises:
        ValueError: An entry has none of these forms; the entry is the argument.
    """
    origins = set()
    for entry in entries:
        if entry.startswith(ANY):
            origins.add(_family(entry))
            continue
        found = origin(entry if "://" in entry else f"https://{entry}")
        if found is None or "*" in found[1]:
            raise ValueError(entry)
        origins.add(found)
        if "://" not in entry and is_loopback(found[1]):
            origins.add(("http", found[1], URL(f"http://{entry}").port or PORTS["http"]))
    return frozenset(origins)


def _family(entry: str) -> Origin:
    """Return the origin of an entry ``*.domain``: https, default port; ``*.com`` is no domain."""
    found = origin(f"https://{entry.removeprefix(ANY)}")
    if found != ("https", entry.removeprefix(ANY).lower(), PORTS["https"]):
        raise ValueError(entry)
    domain = found[1]
    if "." not in domain or "*" in domain or is_loopback(domain) or _is_address(domain):
        raise ValueError(entry)
    return "https", ANY + domain, PORTS["https"]


def service(found: Origin, origins: Iterable[Origin]) -> Origin | None:
    """Return the entry of ``origins`` to which an address belongs.

    All hosts of a ``*.domain`` are one service.

    Returns:
        An entry from :func:`allowed`; None if no entry allows the address.
    """
    scheme, host, port = found
    families = [o for o in origins if o[1].startswith(ANY)]
    for family in sorted(families, key=lambda o: len(o[1])):
        if (scheme, port) == (family[0], family[2]) and host.endswith(family[1].lstrip("*")):
            return family
    return found if found in origins else None


def named(origins: Iterable[Origin]) -> frozenset[str]:
    """Return the hosts that the config itself places off the public internet.

    A public name must not lead to a private address, because the owner of the name could then reach
    into the user's network. The config may allow it by listing the address beside the name.
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
    """Return why an address must not be fetched; '' if it may be."""
    found = origin(url)
    if found is None:
        return "no address" if not url else "not an http(s) address"
    if service(found, origins):
        return ""
    scheme, host, port = found
    where = host if port == PORTS[scheme] else f"{host}:{port}"
    if any(known in (host, ANY + host.partition(".")[2]) for _, known, _ in origins):
        return f"{scheme}://{where} does not match `flickr.photo_hosts`"
    return f"host {where} is not one of `flickr.photo_hosts`"


def redirect(source: str, location: str, origins: frozenset[Origin]) -> tuple[str, str, bool]:
    """Return the target of a redirect within the same service, or why it is not followed.

    Flickr redirects the addresses of removed photos to a picture that says "unavailable". Any other
    redirect may lead to a login page or a network notice, so it proves nothing about the photo.

    Returns:
        Address to continue with, or ''; a reason, or ''; whether the photo is gone.
    """
    try:
        target = str(URL(source).join(URL(location)))
    except ValueError:
        target = ""
    found = origin(target)
    if found is None:
        return "", "redirected without an address", False
    is_notice = PurePosixPath(URL(target).path).name.startswith(NOTICE)
    before = origin(source)
    is_same = before and service(found, origins) == service(before, origins) is not None
    if found != before and not is_same:
        return "", f"redirected to host {found[1]}", is_notice
    if is_notice:
        return "", "redirected to a placeholder", True
    return target, "", False
