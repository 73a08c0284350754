"""HTTP layer of the stand-in's API: keys, signatures, formats, faults."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from witw.demo.fake_flickr.catalog.query import ApiError, BadRequest, Catalog
from witw.demo.fake_flickr.catalog.records import LICENSES
from witw.demo.fake_flickr.connection import Wire, page, reset
from witw.demo.fake_flickr.faults import API_FAULTS
from witw.demo.fake_flickr.log import Call, Hourly
from witw.demo.fake_flickr.oauth import parse_authorization, signature_holds
from witw.demo.fake_flickr.rest_xml import to_xml

UNAVAILABLE = "Sorry, the Flickr API service is not currently available."
_BUSY = {
    "api_busy": ApiError(201, UNAVAILABLE),
    "api_busy_0": ApiError(0, UNAVAILABLE),
    "api_busy_10": ApiError(10, "The Flickr search API is not currently available."),
    "api_busy_105": ApiError(105, "Service currently unavailable"),
}
# Recorded as the response to a request for XML.
BROKEN_JSON = f'{{"stat":"fail","code":201,"message":"{UNAVAILABLE}",}}'


class Api:
    """The REST endpoint.

    Args:
        catalog: Photos to search.
        wire: Injects faults.
        photo_host: Scheme, host and port of the photo addresses.
        key: The only accepted key; None: any.
        secret: Secret of the key; if given, signatures of signed requests are verified.
    """

    def __init__(
        self, catalog: Catalog, wire: Wire, photo_host: str, key: str | None, secret: str | None
    ) -> None:
        self._catalog, self._wire, self._photo_host = catalog, wire, photo_host
        self._key, self._secret = key, secret
        self._hourly = Hourly(wire.behaviour.hourly, wire.log.clock)
        self._nonces: set[str] = set()
        self._used = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        form = await request.post() if request.method == "POST" else {}
        sent = {name: str(value) for name, value in (*request.query.items(), *form.items())}
        oauth = parse_authorization(request.headers.get("Authorization", ""))
        params = {name: value for name, value in sent.items() if name != "api_key"}
        key = oauth.get("oauth_consumer_key") or sent.get("api_key", "")
        asked = repr(sorted(params.items()))
        fault, attempt = self._note(request, params, asked)
        await self._wire.wait(self._wire.behaviour.api_latency_s)
        broken = await self._broken(request, fault, asked, attempt)
        if broken is not None:
            return broken
        refused = self._refused(request, sent, oauth, key, asked)
        if refused is not None:
            return refused
        try:
            if fault in _BUSY:
                raise _BUSY[fault]
            self._check_key(key)
            answer = {**self._answer(params), "stat": "ok"}
        except ApiError as error:
            answer = {"stat": "fail", "code": error.code, "message": error.message}
        except BadRequest:
            return page(400)
        response = _rendered(answer, params)
        return await _cut(request, response) if fault == "api_cut" else response

    def _note(self, request: web.Request, params: Mapping[str, str], asked: str) -> tuple[str, int]:
        log = self._wire.log
        attempt, early_s = log.arrive("api", asked)
        fault = self._wire.faults.draw(API_FAULTS, asked, attempt)
        agent = request.headers.get("User-Agent", "")
        name = params.get("method", "")
        log.calls.append(Call("api", name, params, fault, log.clock(), attempt, early_s, agent))
        return fault, attempt

    async def _broken(
        self, request: web.Request, fault: str, asked: str, attempt: int
    ) -> web.StreamResponse | None:
        """Return a response that does not come from the service itself."""
        closed = self._wire.closed("api", asked)
        if closed is not None:
            return closed
        match fault:
            case "html_200":
                return page()
            case "api_503":
                return page(503)
            case "api_5xx":
                return self._wire.server_error(asked, attempt)
            case "api_429":
                return self._wire.refusal("api", asked, attempt)
            case "api_busy_400":
                return web.Response(status=400, text=UNAVAILABLE, content_type="text/html")
            case "api_comma":
                return web.Response(text=BROKEN_JSON, content_type="application/json")
            case "api_reset":
                return reset(request)
            case "api_stall":
                return await self._wire.stall(request)
        return None

    def _refused(
        self,
        request: web.Request,
        sent: Mapping[str, str],
        oauth: Mapping[str, str],
        key: str,
        asked: str,
    ) -> web.Response | None:
        """Reject calls beyond the quota, and invalid signatures."""
        behaviour = self._wire.behaviour
        wait_s = self._hourly.take(key)
        if wait_s:
            self._wire.log.over_quota += 1
            if behaviour.over_quota == "201":
                answer = {"stat": "fail", "code": 201, "message": UNAVAILABLE}
                return _rendered(answer, sent)
            named = wait_s if behaviour.over_quota == "429_retry_after" else None
            return self._wire.too_many("api", asked, named)
        self._used += 1
        # A wrong key is reported before a wrong signature.
        if not oauth or not self._secret or not self._is_known(key):
            return None
        url = f"http://{request.host}{request.path}"
        if not signature_holds(request.method, url, {**sent, **oauth}, self._secret):
            return web.Response(status=401, text="oauth_problem=signature_invalid")
        nonce = f"{oauth.get('oauth_timestamp')} {oauth.get('oauth_nonce')}"
        if nonce in self._nonces:
            return web.Response(status=401, text="oauth_problem=nonce_used")
        self._nonces.add(nonce)
        return None

    def _is_known(self, key: str) -> bool:
        last = self._wire.behaviour.key_dies_after
        is_alive = last is None or self._used <= last
        return bool(key) and is_alive and self._key in (None, key)

    def _check_key(self, key: str) -> None:
        if not self._is_known(key):
            is_key = re.fullmatch("[0-9a-f]{32}", key)
            why = "Key has expired" if is_key else "Key has invalid format"
            raise ApiError(100, f"Invalid API Key ({why})")

    def _answer(self, params: Mapping[str, str]) -> dict[str, Any]:
        form, method = params.get("format", "rest"), params.get("method", "")
        if form not in ("json", "rest"):
            raise ApiError(111, f'Format "{form}" not found')
        if method == "flickr.photos.search":
            return {"photos": self._catalog.search(params, self._photo_host)}
        if method == "flickr.photos.getInfo":
            return {"photo": self._catalog.info(params, self._photo_host)}
        if method == "flickr.photos.licenses.getInfo":
            rows = [{"id": n, "name": name, "url": url} for n, (name, url) in LICENSES.items()]
            return {"licenses": {"license": rows}}
        if method == "flickr.test.echo":
            return {name: {"_content": value} for name, value in params.items()}
        raise ApiError(112, f'Method "{method}" not found')


def _rendered(answer: Mapping[str, Any], params: Mapping[str, str]) -> web.Response:
    """Return a response in the requested format; the default is XML."""
    if params.get("format") != "json":
        return web.Response(text=to_xml(answer), content_type="text/xml", charset="utf-8")
    text = json.dumps(answer)
    if params.get("nojsoncallback") == "1":
        return web.Response(text=text, content_type="application/json")
    name = params.get("jsoncallback", "jsonFlickrApi")
    return web.Response(text=f"{name}({text})", content_type="text/javascript")


async def _cut(request: web.Request, response: web.Response) -> web.StreamResponse:
    """Send half of a response, then close the connection."""
    assert isinstance(response.body, bytes)
    half = web.StreamResponse(headers={"Content-Type": response.content_type})
    half.content_length = len(response.body)
    await half.prepare(request)
    await half.write(response.body[: len(response.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half
