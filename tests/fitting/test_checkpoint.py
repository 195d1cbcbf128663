"""Checkpoint files: what is written is what is read, and a large picture is never there twice."""

import weakref

import pytest
import safetensors.torch
import torch

from untaught.fitting import checkpoint
from untaught.fitting.checkpoint import Snapshot
from untaught.fitting.tiles import Tiles

TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool]


def moment():
    made = torch.Generator().manual_seed(0)
    tensors = {
        f"part.{number}": (100 * torch.rand(3, number % 3, 5, generator=made)).to(dtype)
        for number, dtype in enumerate(TYPES)
    }
    tensors["number"] = torch.tensor(3.5)
    tensors["turned"] = torch.rand(4, 6, generator=made).T
    return Snapshot(tensors, {"name": "José", "list": [1, 2.5, None]}, {"tiles": Tiles(torch.rand(1, 3, 200, 300))})


def test_a_file_gives_back_every_type_and_shape(tmp_path):
    saved = moment()
    checkpoint.save(tmp_path / "moment", saved)
    found, wanted = checkpoint.load(tmp_path / "moment"), saved.whole()
    assert found.values == wanted.values
    assert found.tensors.keys() == wanted.tensors.keys()
    for name, tensor in wanted.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor), name


def test_a_file_is_one_that_the_library_reads(tmp_path):
    saved = moment()
    checkpoint.save(tmp_path / "moment", saved)
    found = safetensors.torch.load_file(tmp_path / "moment")
    assert {name: tuple(one.shape) for name, one in found.items()} == {
        name: tuple(one.shape) for name, one in saved.whole().tensors.items()
    }


def test_one_large_picture_at_a_time_is_put_together(tmp_path, monkeypatch):
    alive, most, real = weakref.WeakSet(), [], Tiles.whole

    def whole(tiles):
        most.append(len(alive))
        picture = real(tiles)
        alive.add(picture)
        return picture

    saved = Snapshot({}, {}, {str(number): Tiles(torch.rand(1, 1, 200, 200)) for number in range(4)})
    monkeypatch.setattr(Tiles, "whole", whole)
    checkpoint.save(tmp_path / "moment", saved)
    assert len(most) >= 4
    # The one before is let go of only when the next one is there.
    assert max(most) <= 1


@pytest.mark.parametrize("what", ["below", "beside"])
def test_parts_keep_their_tiles(what):
    tiles = Tiles(torch.rand(1, 1, 130, 130))
    whole = Snapshot({"now.a": torch.zeros(1)}, {"more": 1}, {"now.b": tiles})
    if what == "below":
        part = whole.below("now", {"less": 0})
        assert (set(part.tensors), set(part.tiles), part.values) == ({"a"}, {"b"}, {"less": 0})
    else:
        more = whole.beside(further=2)
        assert (more.tiles, more.values) == (whole.tiles, {"more": 1, "further": 2})
