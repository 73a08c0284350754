"""The licence table."""

import re

import pytest
import yaml

from witw.errors import UserError
from witw.flickr.api.licenses import License, check, parse
from witw.settings.search import Search

ANSWER = {
    "licenses": {
        "license": [
            {"id": 0, "name": "All Rights Reserved", "url": ""},
            {"id": "4", "name": "CC BY 2.0", "url": "https://creativecommons.org/licenses/by/2.0/"},
            {"name": "nameless"},
        ]
    },
    "stat": "ok",
}


def test_ids_come_as_numbers_or_text():
    table = parse(ANSWER)
    assert sorted(table) == [0, 4]
    assert table[4] == License(4, "CC BY 2.0", "https://creativecommons.org/licenses/by/2.0/")


@pytest.mark.parametrize("answer", [{}, {"licenses": {}}, {"licenses": {"license": [1, {}]}}])
def test_a_response_without_licences_is_an_error(answer):
    with pytest.raises(ValueError, match="licen"):
        parse(answer)


def test_ids_the_service_does_not_know_are_a_mistake_in_the_config():
    check([4], parse(ANSWER), "demo")
    with pytest.raises(UserError, match=r"'demo'.*search\.licenses.*5, 17.*4 \(CC BY 2\.0\)"):
        check([17, 4, 5], parse(ANSWER), "demo")


@pytest.mark.real
def test_the_default_licences_are_all_recorded(real_data):
    path = real_data / "flickr_api" / "flickr-photos-api_TestLicenseMethods.test_get_licenses.yml"
    tape = yaml.safe_load(path.read_text(encoding="utf-8"))
    body = tape["interactions"][0]["response"]["body"]["string"]
    rows = re.findall(r'<license\s+id="(\d+)"\s+name="([^"]*)"\s+url="([^"]*)"', body)
    keys = ("id", "name", "url")
    table = parse({"licenses": {"license": [dict(zip(keys, row, strict=True)) for row in rows]}})
    assert sorted(table) == list(range(17))
    check(Search().licenses, table, "demo")
