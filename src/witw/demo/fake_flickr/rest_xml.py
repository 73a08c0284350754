"""Responses in Flickr's default REST format: the JSON as XML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

# Characters that XML 1.0 cannot contain, escaped or not.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_QUOTES = {'"': "&quot;", "'": "&#039;"}


def to_xml(answer: Mapping[str, Any]) -> str:
    """Return a whole response: ``<rsp stat="ok">`` or ``<rsp stat="fail"><err code= msg= />``.

    Scalars of the JSON become attributes, lists repeated elements, and ``{"_content": text}`` an
    element with text.
    """
    if answer["stat"] == "fail":
        error = {"code": answer["code"], "msg": answer["message"]}
        inner = _element("err", error, 1)
    else:
        inner = "".join(
            _element(name, value, 0) for name, value in answer.items() if name != "stat"
        )
    head = '<?xml version="1.0" encoding="utf-8" ?>\n'
    return f'{head}<rsp stat="{answer["stat"]}">\n{inner}</rsp>\n'


def _element(name: str, value: Any, depth: int) -> str:
    indent = "\t" * depth
    if isinstance(value, list):
        return "".join(_element(name, item, depth) for item in value)
    if not isinstance(value, Mapping):
        value = {} if value is None else {"_content": value}
    attributes, below = "", ""
    for key, item in value.items():
        if key == "_content":
            continue
        if isinstance(item, (Mapping, list)):
            below += _element(key, item, depth + 1)
        else:
            attributes += f' {key}="{_text(item)}"'
    if "_content" in value:
        return f"{indent}<{name}{attributes}>{_text(value['_content'])}</{name}>\n"
    if below:
        return f"{indent}<{name}{attributes}>\n{below}{indent}</{name}>\n"
    return f"{indent}<{name}{attributes} />\n"


def _text(value: Any) -> str:
    return escape(_FORBIDDEN.sub("", "" if value is None else str(value)), _QUOTES)
