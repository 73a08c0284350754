"""Resolve host names, refusing addresses of private networks."""

from __future__ import annotations

import socket
from urllib.request import getproxies

from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult

from witw.flickr.hosts import host_of, is_public


class PrivateAddress(Exception):  # noqa: N818
    """A public host's name leads into a private network or to this machine."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(host, address)
        self.host = host
        self.address = address


class PublicResolver(ThreadedResolver):
    """The system's resolver, with its addresses checked at the moment of connecting.

    An earlier check would not suffice, because a name may resolve differently the next time.
    """

    def __init__(self, named: frozenset[str]) -> None:
        """Create the resolver.

        Args:
            named: Hosts and addresses that need not be public, see :func:`witw.flickr.hosts.named`.
        """
        super().__init__()
        self._named = named

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OSError: The host has no address.
            PrivateAddress: The host has no address that may be contacted.
        """
        found = await super().resolve(host, port, family)
        if host in self._named:
            return found
        good = [a for a in found if is_public(a["host"]) or a["host"] in self._named]
        if found and not good:
            raise PrivateAddress(host, found[0]["host"])
        return good


def proxies() -> frozenset[str]:
    """Return the hosts of the environment's proxies; users choose them, so they may be private."""
    urls = [url if "://" in url else f"http://{url}" for url in getproxies().values()]
    return frozenset(host for url in urls if (host := host_of(_bare(url))))


def _bare(url: str) -> str:
    """Return the address of a proxy without the name and password in it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
