import numpy as np
import pytest
import torch
from made_pairs import SMALL
from safetensors.numpy import load_file

from witw.cvig.grid import Grid
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.model import Model
from witw.cvig.network.towers import ChipCode, Network
from witw.cvig.search import index_file
from witw.cvig.search.compact import CELL_BYTES, Packing
from witw.cvig.search.index_file import Index
from witw.errors import UserError


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model(Network(Architecture.of(SMALL, 225.0, 32, 24)).eval(), 0.1, 1, {})


def code(model, count=50):
    rng = torch.Generator().manual_seed(1)
    shape = model.network.shape
    columns = torch.randn(count, shape.embed_dim, shape.headings, generator=rng)
    return ChipCode(columns, torch.randn(count, model.network.vector_dim, generator=rng))


def write(path, model, made, order=(0, 20, 10, 30, 40)):
    grid = Grid(32631, 28.125, 5e5, 5e6, 8, 9, np.arange(72)[::-1][:50][::-1])
    packing = Packing.fit(made.columns.numpy(), made.vector.shape[1])
    with index_file.writer(path, grid, packing, model) as out:
        for at in order:
            out.put(at, ChipCode(*(v[at : at + 10] for v in made)))
    return grid


def test_blocks_are_read_back_as_written(model, tmp_path):
    made = code(model)
    grid = write(tmp_path / "a.safetensors", model, made)
    index = Index.open(tmp_path / "a.safetensors", model)
    assert index.grid.cells.tolist() == grid.cells.tolist()
    assert vars(index.grid) | {"cells": 0} == vars(grid) | {"cells": 0}
    own = index.cosines(made.vector).diagonal()
    assert own.min() > 0.999
    columns = index.columns(np.array([3, 40]))[0].transpose(1, 2)
    same = torch.nn.functional.cosine_similarity(
        columns.flatten(1), made.columns[[3, 40]].flatten(1)
    )
    assert same.min() > 0.999
    write(tmp_path / "b.safetensors", model, made, order=(0, 10, 20, 30, 40))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_another_program_reads_the_file_and_a_cell_is_at_most_two_kilobytes(model, tmp_path):
    write(tmp_path / "a.safetensors", model, code(model))
    tensors = load_file(tmp_path / "a.safetensors")
    assert set(tensors) == {"cells", "scales", "vectors", "columns", "basis"}
    length = np.linalg.norm(tensors["vectors"] * tensors["scales"][:, None], axis=1)
    np.testing.assert_allclose(length, 1, atol=1e-5)
    per_cell = sum(v.nbytes for name, v in tensors.items() if name != "basis") / 50
    assert per_cell <= CELL_BYTES


def test_a_subset_of_the_cells_is_an_index(model, tmp_path):
    made = code(model)
    write(tmp_path / "a.safetensors", model, made)
    index = Index.open(tmp_path / "a.safetensors")
    part = index.take(np.array([4, 9, 33])).take(np.array([0, 2]))
    assert len(part) == 2
    assert part.grid.cells.tolist() == index.grid.cells[[4, 33]].tolist()
    np.testing.assert_allclose(
        part.cosines(made.vector), index.cosines(made.vector)[:, [4, 33]], atol=1e-6
    )
    assert torch.equal(part.columns(np.array([1]))[0], index.columns(np.array([33]))[0])


def test_invalid_truncated_and_foreign_files_are_reported(model, tmp_path):
    path = tmp_path / "a.safetensors"
    write(path, model, code(model))
    whole = path.read_bytes()
    for content in (b"", b"no index", whole[:100], whole[:-1], b"\xff" * 50):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.safetensors is not a whole index; delete it"):
            Index.open(path)
    path.write_bytes(whole)
    torch.manual_seed(1)
    other = Model(Network(Architecture.of(SMALL, 225.0, 32, 24)).eval(), 0.1, 1, {})
    with pytest.raises(UserError, match=r"a\.safetensors is of another model than this one"):
        Index.open(path, other)


def test_a_failed_write_leaves_nothing(model, tmp_path):
    grid = Grid(32631, 28.0, 5e5, 5e6, 2, 2, np.arange(4))
    packing = Packing.fit(np.zeros((1, 32, 16)), 24)
    with (
        pytest.raises(RuntimeError),
        index_file.writer(tmp_path / "a.safetensors", grid, packing, model) as out,
    ):
        out.put(0, ChipCode(torch.zeros(2, 32, 16), torch.zeros(2, 24)))
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_cached_columns_equal_those_in_the_file(model, tmp_path, monkeypatch):
    write(tmp_path / "a.safetensors", model, code(model))
    rows = np.array([49, 0, 7])
    kept = Index.open(tmp_path / "a.safetensors", model).columns(rows)[0]
    monkeypatch.setattr(index_file, "HELD", 0)
    large = Index.open(tmp_path / "a.safetensors", model)
    part = large.take(np.array([0, 7, 49])).columns(np.array([2, 0, 1]))[0]
    assert torch.equal(kept, large.columns(rows)[0]) and torch.equal(kept, part)
