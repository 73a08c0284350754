import geopandas as gpd
import pandas as pd
import pytest

from witw import status, tables
from witw.errors import UserError

VALUES = {
    "string": ["b", "a", "ø c"],
    "Float64": [1.5, None, -2.25],
    "Int64": [2**40, None, 3],
    "Int32": [7, None, 2**31 - 1],
    "boolean": [True, None, False],
}


def rows(name):
    """Return three rows with a unique, unsorted first column and missing values elsewhere."""
    columns = tables.TABLES[name]
    data = {key: VALUES.get(col.dtype, [None] * 3) for key, col in columns.items()}
    key = next(iter(columns))
    data[key] = ["30", "9", "100"] if columns[key].dtype == "string" else [3, 1, 2]
    return pd.DataFrame(data)


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_is_read_back_as_written(tmp_path, name):
    path = tmp_path / "table.parquet"
    written = tables.write(path, name, rows(name))
    back = tables.read(path, name)
    pd.testing.assert_frame_equal(back, written)
    assert {key: str(dtype) for key, dtype in back.dtypes.items()} == {
        key: str(pd.api.types.pandas_dtype(col.dtype)) for key, col in tables.TABLES[name].items()
    }
    assert back.iloc[:, 0].is_monotonic_increasing


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_column_has_a_description(name):
    for column in tables.TABLES[name].values():
        assert column.meaning.endswith(".")
        assert len(column.meaning) > 10


def test_the_order_of_rows_and_columns_does_not_change_the_bytes(tmp_path):
    data = rows("photos")
    tables.write(tmp_path / "a.parquet", "photos", data)
    shuffled = data.iloc[[2, 0, 1], ::-1].assign(extra=1)
    tables.write(tmp_path / "b.parquet", "photos", shuffled)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("name", tables.TABLES)
def test_an_empty_table_keeps_its_columns_and_dtypes(tmp_path, name):
    tables.write(tmp_path / "none.parquet", name, [])
    back = tables.read(tmp_path / "none.parquet", name)
    assert back.empty
    pd.testing.assert_frame_equal(back, tables.frame(name, rows(name)).iloc[:0])


def test_a_photo_listed_twice_is_refused_and_nothing_is_written(tmp_path):
    data = rows("ids")
    data["id"] = ["1", "2", "1"]
    with pytest.raises(ValueError, match="id '1' appears twice"):
        tables.write(tmp_path / "t.parquet", "ids", data)
    assert not list(tmp_path.iterdir())


def test_a_missing_column_is_an_error_not_an_empty_column():
    with pytest.raises(KeyError, match="lat"):
        tables.frame("ids", rows("ids").drop(columns="lat"))


def test_geoparquet_has_points_in_lon_lat_order_and_nothing_where_unknown(tmp_path):
    data = rows("pairs").assign(lon=[10.75, None, -43.2], lat=[59.9, None, -22.9])
    path = tmp_path / "pairs.parquet"
    tables.write_geo(path, "pairs", data)
    geo = gpd.read_parquet(path).set_index("id")
    assert geo.crs.to_epsg() == 4326
    assert (geo.geometry["30"].x, geo.geometry["30"].y) == (10.75, 59.9)
    assert list(tables.read(path, "pairs").columns) == list(tables.PAIRS)
    first = path.read_bytes()
    tables.write_geo(path, "pairs", data.iloc[::-1])
    assert path.read_bytes() == first


def test_a_torn_or_foreign_file_is_reported_with_a_remedy(tmp_path):
    path = tmp_path / "photos.parquet"
    tables.write(path, "photos", rows("photos"))
    with pytest.raises(UserError, match="not a readable cells table; delete it"):
        tables.read(path, "cells")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a readable photos table; delete it"):
        tables.read(path, "photos")
    with pytest.raises(FileNotFoundError):
        tables.read(tmp_path / "absent.parquet", "photos")


def test_every_status_has_a_meaning():
    assert set(status.STATUS_MEANING) == set(status.Status)
