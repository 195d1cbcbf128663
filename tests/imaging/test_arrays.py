import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from untaught.errors import InputError
from untaught.imaging.arrays import from_tensor, known_values, to_tensor

SHAPES = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 5)), st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6))
)


@settings(max_examples=60, deadline=None)
@given(
    image=st.sampled_from([np.uint8, np.uint16]).flatmap(lambda kind: arrays.arrays(kind, SHAPES)),
    keep=st.booleans(),
)
def test_whole_numbers_come_back_exact(image, keep):
    tensor, layout = to_tensor(image)
    assert tensor.ndim == 4
    assert tensor.dtype == torch.float32
    known = torch.ones_like(tensor, dtype=torch.bool) if keep else None
    back = from_tensor(tensor, known, layout)
    assert back.dtype == image.dtype
    np.testing.assert_array_equal(back, image)


@settings(max_examples=40, deadline=None)
@given(image=arrays.arrays(np.float64, SHAPES, elements=st.floats(0, 1)))
def test_known_floats_come_back_to_the_bit(image):
    tensor, layout = to_tensor(image)
    back = from_tensor(torch.zeros_like(tensor), torch.ones_like(tensor, dtype=torch.bool), layout)
    assert back.dtype == image.dtype
    np.testing.assert_array_equal(back, image)


def test_channels_are_last_in_arrays_and_first_in_tensors():
    image = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    tensor, _ = to_tensor(image)
    assert tensor.shape == (1, 4, 2, 3)
    assert tensor[0, 1, 1, 2] * 255 == image[1, 2, 1]


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
def test_tensors_come_back_as_tensors(kind):
    image = (torch.rand(2, 3, 4, 5) * (255 if kind == torch.uint8 else 1)).to(kind)
    tensor, layout = to_tensor(image)
    back = from_tensor(tensor, None, layout)
    assert isinstance(back, torch.Tensor)
    assert back.dtype == kind
    torch.testing.assert_close(back, image)


def test_restored_values_are_rounded_and_clipped_to_the_type():
    _, layout = to_tensor(np.zeros((1, 3), np.uint8))
    back = from_tensor(torch.tensor([[[[-0.2, 0.4990, 1.3]]]]), None, layout)
    assert back.tolist() == [[0, 127, 255]]


def test_a_value_range_makes_any_type_a_picture():
    counts = np.array([[-100, 0, 900]], np.int16)
    tensor, layout = to_tensor(counts, (-100, 900))
    torch.testing.assert_close(tensor.flatten(), torch.tensor([0, 0.1, 1]))
    np.testing.assert_array_equal(from_tensor(tensor, None, layout), counts)


def test_what_is_not_finite_becomes_nan():
    tensor, _ = to_tensor(np.array([[0.5, np.nan, np.inf, -np.inf]]))
    assert tensor.isnan().flatten().tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(3), r"\(H, W\) or \(H, W, C\)"),
        (np.zeros((2, 3, 4, 5)), r"\(H, W\) or \(H, W, C\)"),
        (np.zeros((0, 4)), "at least one"),
        (torch.zeros(3, 4), r"\(N, C, H, W\)"),
        (torch.zeros(0, 1, 4, 4), "at least one"),
        (np.zeros((2, 2), complex), "real numbers"),
        (np.zeros((2, 2), bool), "real numbers"),
        (np.full((2, 2), 7.0), r"value_range=\(7, 7\)"),
        (np.full((2, 2), -1, np.int16), "no range of its own"),
    ],
)
def test_what_is_no_picture_is_refused(image, message):
    with pytest.raises(InputError, match=message):
        to_tensor(image)


@pytest.mark.parametrize("value_range", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_an_impossible_value_range_is_refused(value_range):
    with pytest.raises(InputError, match="the lower first"):
        to_tensor(np.zeros((2, 2)), value_range)


@pytest.mark.parametrize("mark", [lambda m: m, lambda m: m * np.uint8(255), lambda m: m.astype(float), lambda m: m * 1])
def test_masks_of_two_values(mark):
    mask = np.array([[True, False, True], [False, True, True]])
    known = known_values(mark(mask), (2, 3, 2))
    assert known.shape == (1, 2, 2, 3)
    assert known.dtype == torch.bool
    np.testing.assert_array_equal(known[0, 1].numpy(), mask)


def test_a_mask_may_differ_from_channel_to_channel():
    mask = np.zeros((2, 3, 2), bool)
    mask[0, 0, 1] = True
    known = known_values(mask, (2, 3, 2))
    assert known[0, 1, 0, 0]
    assert known.sum() == 1


@pytest.mark.parametrize(
    ("mask", "shape", "message"),
    [
        (np.ones((3, 2), bool), (2, 3), "height and width"),
        (np.full((2, 3), 0.5), (2, 3), "two values"),
        (np.full((2, 3), 7, np.uint8), (2, 3), "from 7 to 7"),
        (np.ones((4, 4), bool), (1, 1, 2, 3), "does not fit"),
    ],
)
def test_what_is_no_mask_is_refused(mask, shape, message):
    with pytest.raises(InputError, match=message):
        known_values(mask, shape)
