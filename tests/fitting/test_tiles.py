"""Pictures in tiles: parts are read and written, and earlier versions stay."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from untaught.fitting.tiles import Tiles


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 99))
def test_they_are_a_picture(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    picture = torch.rand(2, 3, height, width, generator=generator)
    tiles, expected = Tiles(picture), picture.clone()
    before = tiles.version()
    for number in (0, 1):
        top, left = (int(torch.randint(side, (), generator=generator)) for side in (height, width))
        tall, wide = min(96, height - top), min(96, width - left)
        values = torch.rand(3, tall, wide, generator=generator)
        tiles.write(number, top, left, values)
        expected[number, :, top : top + tall, left : left + wide] = values
        assert torch.equal(tiles.read(number, top, left, tall, wide), values)
    assert torch.equal(tiles.whole(), expected)
    assert torch.equal(before.whole(), picture)
