"""Filters of the stand-in's search, and the switches for undocumented behaviour."""

import numpy as np
import pytest

from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.query import ApiError, BadRequest, Catalog
from witw.demo.fake_flickr.catalog.records import CatalogPhoto

ALL = {"bbox": "2.0,48.0,3.0,49.0", "min_upload_date": "1", "extras": "geo,license,media,url_s"}


def catalog(count=60, behaviour=None, **columns) -> Catalog:
    made = {"id": np.arange(count) + 1000, "lat": 48.5, "lon": 2.5}
    made |= {"date_upload": 1_500_000_000 + np.arange(count), **columns}
    return Catalog.from_columns(made, behaviour)


def found(known: Catalog, **params) -> set[int]:
    answer = known.search(ALL | {"per_page": "250"} | {k: str(v) for k, v in params.items()}, "h")
    assert int(answer["total"] or 0) == len(answer["photo"])
    return {int(entry["id"]) for entry in answer["photo"]}


def of(column: np.ndarray, *values: int) -> set[int]:
    return {int(n) + 1000 for n in np.flatnonzero(np.isin(column, values))}


def test_content_types_and_the_deprecated_content_type_number_differently():
    contents = np.arange(60) % 4
    known = catalog(content_type=contents)
    assert found(known) == of(contents, 0, 1, 2, 3)
    for number in range(4):
        assert found(known, content_types=number) == of(contents, number)
    assert found(known, content_types="0,3") == of(contents, 0, 3)
    old = {1: (0,), 2: (1,), 3: (2,), 4: (0, 1), 5: (1, 2), 6: (0, 2), 7: (0, 1, 2, 3)}
    for number, meant in old.items():
        assert found(known, content_type=number) == of(contents, *meant)
    assert found(known, content_type=2, content_types=0) == of(contents, 0)


def test_media_and_geo_context_are_filters():
    contexts = np.arange(60) % 3
    media = np.where(np.arange(60) % 5 > 0, "photo", "video").astype(object)
    known = catalog(context=contexts, media=media)
    assert found(known) == found(known, media="all") == of(contexts, 0, 1, 2)
    assert found(known, media="photos") == {n + 1000 for n in range(60) if n % 5}
    assert found(known, media="videos") == {n + 1000 for n in range(60) if n % 5 == 0}
    for context in range(3):
        # 0 is "not defined", not "any".
        assert found(known, geo_context=context) == of(contexts, context)
    entry = known.search(ALL, "h")["photo"][0]
    assert (entry["context"], entry["media"]) == (59 % 3, "photo")


def test_unauthorised_calls_see_safe_photos_only():
    safeties = np.arange(60) % 3
    known = catalog(safety=safeties)
    for asked in (1, 2, 3):
        assert found(known, safe_search=asked) == of(safeties, 0)
    asking = known.behaving(Behaviour(safe_search="asked"))
    assert found(asking) == of(safeties, 0)
    assert found(asking, safe_search=2) == of(safeties, 0, 1)
    assert found(asking, safe_search=3) == of(safeties, 0, 1, 2)


def test_accuracy_is_a_minimum_or_exact_and_unset_means_all_or_street():
    accuracies = 1 + np.arange(60) % 16
    known = catalog(accuracy=accuracies)
    assert found(known) == of(accuracies, *range(1, 17))
    assert found(known, accuracy=11) == of(accuracies, *range(11, 17))
    assert found(known, accuracy=1) == found(known)
    street = known.behaving(Behaviour(accuracy_unset="street"))
    assert found(street) == of(accuracies, 16)
    assert found(street, accuracy=1) == of(accuracies, *range(1, 17))
    only = known.behaving(Behaviour(accuracy_given="only"))
    assert found(only, accuracy=11) == of(accuracies, 11)


def test_licence_lists_of_all_ids_and_lists_that_find_nothing():
    licenses = np.arange(60) % 17
    known = catalog(license_id=licenses)
    assert found(known, license="11,12,13,14,15,16") == of(licenses, *range(11, 17))
    assert found(known, license="99") == set()
    odd = known.behaving(Behaviour(license_lists="nothing"))
    assert found(odd, license="1,2") == set()
    assert found(odd, license="2") == of(licenses, 2)
    assert len(found(odd)) == 60


def test_edges_of_a_box_are_inside_half_open_or_cut():
    lon = np.array([2.1, 2.2, 2.200001, 2.3])
    known = catalog(4, lon=lon, lat=48.5)
    box = "2.1,48.4,2.2,48.5"
    assert found(known, bbox=box) == {1000, 1001}
    half = known.behaving(Behaviour(bbox_edges="half_open"))
    assert found(half, bbox=box) == set()  # all lie on the northern edge
    assert found(half, bbox="2.1,48.4,2.2,48.6") == {1000}
    assert found(half, bbox="2.2,48.5,2.3,48.6") == {1001, 1002}
    # Cut at 7 decimals, no photo lies on an edge, and every mode finds the same photos.
    exact = "2.1000005,48.4000005,2.2000005,48.6000005"
    assert found(known, bbox=exact) == found(half, bbox=exact) == {1001}
    # A mode that reads only 6 decimals also includes photos on the shortened western edge.
    cut = known.behaving(Behaviour(bbox_decimals=6))
    assert found(cut, bbox=exact) == {1000, 1001}
    assert found(cut, bbox="2.1,48.4,2.2000019,48.6") == {1000, 1001, 1002}
    # Towards zero: a western edge west of Greenwich moves inwards.
    west = catalog(2, lon=np.array([-2.100001, -2.1]), behaviour=Behaviour(bbox_decimals=6))
    assert found(west, bbox="-2.1000015,48,-2.0,49") == {1000, 1001}
    assert found(west, bbox="-2.1000005,48,-2.0,49") == {1001}


def test_photos_without_geotag_are_in_no_box():
    tagged = np.arange(60) % 3 > 0
    known = catalog(has_geo=tagged, lat=np.where(tagged, 48.5, 0.0), lon=2.5)
    assert found(known, bbox="-180,-90,180,90") == {n + 1000 for n in range(60) if n % 3}
    assert found(known, bbox="-180,-90,180,90", has_geo=0) == set()
    anywhere = {"license": "0", "min_upload_date": "1", "extras": "geo", "per_page": "500"}
    entries = known.search(anywhere, "h")["photo"]
    assert len(entries) == 60
    bare = [entry for entry in entries if int(entry["id"]) % 3 == 1]
    assert len(bare) == 20
    assert {entry["latitude"] for entry in bare} == {0, "0"}
    assert not any("place_id" in entry or "woeid" in entry for entry in bare)
    for has_geo, count in (("0", 20), ("1", 40), ("True", 40)):
        assert len(known.search({**anywhere, "has_geo": has_geo}, "h")["photo"]) == count


def test_the_last_twelve_hours_end_now():
    known = catalog(3, date_upload=np.array([0, 40_000, 90_000]) + 1_500_000_000)
    recent = {"bbox": ALL["bbox"]}
    assert [e["id"] for e in known.search(recent, "h")["photo"]] == ["1002"]
    later = known.behaving(Behaviour(now=1_500_000_000 + 80_000))
    assert [e["id"] for e in later.search(recent, "h")["photo"]] == ["1002", "1001"]


@pytest.mark.parametrize(
    ("totals", "types"), [("number", {int}), ("text", {str}), ("mixed", {int, str})]
)
def test_totals_are_numbers_or_text(totals, types):
    known = catalog(behaviour=Behaviour(totals=totals))
    answers = [known.search({**ALL, "page": str(page)}, "h") for page in range(1, 20)]
    assert {type(answer["total"]) for answer in answers} == types
    nothing = known.search({**ALL, "license": "5"}, "h")
    expected = {"number": [(0, 0)], "text": [("", "0")]}
    if totals in expected:
        assert (nothing["total"], nothing["pages"]) in expected[totals]


def test_documented_types_are_those_of_the_reference():
    known = catalog(behaviour=Behaviour(field_types="documented"))
    params = {**ALL, "extras": "license,date_upload,geo,url_m,o_dims", "per_page": "250"}
    for entry in known.search(params, "h")["photo"]:
        for name in ("id", "server", "secret", "license", "dateupload", "o_width", "o_height"):
            assert type(entry[name]) is str, name
        for name in ("farm", "width_m", "height_m", "context"):
            assert type(entry[name]) is int, name
        assert (entry["latitude"], entry["longitude"]) == ("48.500000", "2.500000")


def test_the_suffix_m_is_the_small_size():
    known = catalog(1, width=375, height=500)
    entry = known.search({**ALL, "extras": "url_m,url_s"}, "http://h")["photo"][0]
    stem = f"http://h/65535/1000_{entry['secret']}"
    assert (entry["url_m"], entry["url_s"]) == (f"{stem}.jpg", f"{stem}_m.jpg")
    assert (entry["width_s"], entry["height_s"]) == (180, 240)


@pytest.mark.parametrize("params", [{"tags": "x"}, {"radius": "5"}, {"sort": "relevance"}])
def test_unsupported_parameters_are_refused(params):
    with pytest.raises(ApiError, match="stand-in"):
        catalog().search({**ALL, **params}, "h")


@pytest.mark.parametrize(
    "params",
    [{"license": "x"}, {"page": "one"}, {"max_upload_date": "soon"}, {"bbox": "1,2,3,nan"}],
)
def test_malformed_values_are_bad_requests(params):
    with pytest.raises(BadRequest):
        catalog().search({**ALL, **params}, "h")


def test_a_whole_photo_survives_the_columns():
    one = CatalogPhoto(
        id="123", owner="1@N0", owner_name="é", title="", lat=1.5, lon=-2.25, accuracy=3,
        license_id=12, date_upload=1_600_000_000, date_taken="0000-00-00 00:00:00", secret="ab",
        server="913", removed="410", has_url=False, width=1, height=2, context=1, media="video",
        content_type=3, safety=2, has_geo=False,
    )  # fmt: skip
    assert Catalog([one]).photos[0] == one


def test_photos_missing_in_the_index_can_be_looked_up_by_id():
    known = catalog(200, Behaviour(thinned=0.5, seed=3))
    listed = found(known)
    assert 60 < len(listed) < 140
    hidden = next(n for n in range(1000, 1200) if n not in listed)
    said = known.info({"photo_id": str(hidden)}, "h")
    assert (said["id"], said["owner"]["nsid"]) == (str(hidden), "00000001@N00")
    assert float(said["location"]["latitude"]) == 48.5
    assert said["dates"]["posted"] == str(1_500_000_000 + hidden - 1000)
    assert found(catalog(200, Behaviour(thinned=1.0))) == set()
    for unknown in ("999", "", "x", "1" * 30):
        with pytest.raises(ApiError, match="Photo not found"):
            known.info({"photo_id": unknown}, "h")
    gone = catalog(200, Behaviour(vanishing=1.0, churn_calls=1))
    gone.searches = 3
    with pytest.raises(ApiError, match="Photo not found"):
        gone.info({"photo_id": "1000"}, "h")


def test_a_photo_without_geotag_has_no_location_by_its_id():
    known = catalog(2, has_geo=np.array([True, False]))
    shown = [known.info({"photo_id": photo_id}, "h") for photo_id in ("1000", "1001")]
    assert ["location" in one for one in shown] == [True, False]


def test_accuracy_box_and_list_can_hide_photos():
    rng = np.random.default_rng(0)
    licenses = np.where(np.arange(400) % 2, 11, 4)
    lons = rng.uniform(2.0, 2.09, 400).round(6)
    everything = set(range(1000, 1400))

    def shares(switch, **params):
        known = catalog(400, Behaviour(**switch), license_id=licenses, lon=lons)
        pages = [
            found(
                known,
                max_upload_date=1_500_000_399 - 200 * n,
                min_upload_date=1_500_000_200 - 200 * n,
                **params,
            )
            for n in (0, 1)
        ]
        return pages[0] | pages[1]

    hiding = {"unset_hides": 0.1}
    assert 20 < 400 - len(shares(hiding)) < 70
    assert shares(hiding, accuracy=1) == everything
    hiding = {"large_box_hides": 0.1}
    assert 20 < 400 - len(shares(hiding)) < 70
    assert shares(hiding, bbox="2.0,48.45,2.09,48.54") == everything
    hiding = {"list_hides": 0.5}
    lost = everything - shares(hiding, license="4,11")
    assert 60 < len(lost) < 140
    assert lost < of(licenses, 11)
    assert shares(hiding, license="11") == of(licenses, 11)


def test_a_filter_ignores_the_licences_it_does_not_know():
    licenses = np.arange(60) % 17
    known = catalog(license_id=licenses, behaviour=Behaviour(licenses_up_to=10))
    assert found(known, license="4,11") == of(licenses, 4)
    assert found(known, license="11,12") == found(known) == set(range(1000, 1060))
