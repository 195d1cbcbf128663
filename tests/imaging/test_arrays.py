import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import untaught
from untaught.errors import InputError
from untaught.imaging.arrays import from_tensor, in_unit_range, known_values, laid_out, to_tensor

SHAPES = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 5)), st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6))
)


def restored(image, **options):
    """Convert there and back, with nothing known."""
    tensor, layout = to_tensor(image, **options)
    return from_tensor(tensor, None, layout)


@settings(max_examples=60, deadline=None)
@given(
    image=st.sampled_from([np.uint8, np.uint16, ">u2"]).flatmap(lambda kind: arrays.arrays(kind, SHAPES)),
    keep=st.booleans(),
)
def test_whole_numbers_come_back_exactly(image, keep):
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


@pytest.mark.parametrize(
    "kind", [torch.uint8, torch.uint16, torch.float16, torch.float32, torch.float64, torch.bfloat16]
)
@pytest.mark.parametrize("keep", [False, True])
def test_tensors_come_back_as_tensors(kind, keep):
    image = (torch.rand(2, 3, 4, 5) * (1 if kind.is_floating_point else 255)).to(kind)
    tensor, layout = to_tensor(image)
    back = from_tensor(tensor, torch.ones_like(tensor, dtype=torch.bool) if keep else None, layout)
    assert isinstance(back, torch.Tensor)
    assert back.dtype == kind
    torch.testing.assert_close(back, image)


def test_a_tensor_with_a_gradient_is_detached():
    image = torch.rand(1, 1, 4, 5, requires_grad=True)
    back = restored(image)
    assert not back.requires_grad
    torch.testing.assert_close(back, image.detach())


IMAGE = np.random.default_rng(0).integers(0, 256, (6, 20, 3), np.uint8)
FIXED = IMAGE.copy()
FIXED.flags.writeable = False


@pytest.mark.parametrize(
    "image",
    [
        IMAGE[::-1, ::2],
        np.asfortranarray(IMAGE),
        FIXED,
        IMAGE.astype(">u2"),
        IMAGE.tolist(),
    ],
    ids=["strides", "Fortran order", "read-only", "byte-swapped", "lists"],
)
def test_any_memory_order_will_do(image):
    options = {"value_range": (0, 255)} if isinstance(image, list) else {}
    before = np.array(image)
    back = restored(image, **options)
    assert back.dtype == before.dtype
    np.testing.assert_array_equal(back, before)
    np.testing.assert_array_equal(image, before)


def test_restored_values_are_rounded_and_clipped_to_the_type():
    _, layout = to_tensor(np.zeros((1, 3), np.uint8))
    back = from_tensor(torch.tensor([[[[-0.2, 0.4990, 1.3]]]]), None, layout)
    assert back.tolist() == [[0, 127, 255]]


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (bool, 0, 1),
        (np.int8, -128, 127),
        (np.int16, -100, 900),
        (np.uint32, 0, 2**32 - 1),
        (np.int64, 0, 2**63 - 1),
        (np.uint64, 0, 2**64 - 1),
        (np.float16, -2, 2),
        (np.float64, -1e300, 1e300),
        (torch.bool, 0, 1),
        (torch.int16, -100, 900),
        (torch.int64, 0, 2**63 - 1),
    ],
)
def test_a_value_range_makes_any_real_type_a_picture(kind, low, high):
    values = [low, high, high]
    image = torch.tensor([[[values]]], dtype=kind) if isinstance(kind, torch.dtype) else np.array([values], kind)
    tensor, layout = to_tensor(image, (low, high))
    torch.testing.assert_close(tensor.flatten(), torch.tensor([0.0, 1.0, 1.0]))
    back = from_tensor(tensor, None, layout)
    assert back.dtype == image.dtype
    assert back.flatten().tolist() == pytest.approx(values, rel=1e-15)
    known = from_tensor(torch.zeros_like(tensor), torch.ones_like(tensor, dtype=torch.bool), layout)
    assert known.tolist() == image.tolist()


@pytest.mark.parametrize("ends", [np.array([0, 9]), [np.float32(0), np.int16(9)], torch.tensor([0.0, 9.0])])
def test_the_ends_of_a_value_range_may_be_scalars_of_numpy_or_torch(ends):
    tensor, layout = to_tensor(np.array([[0, 9]]), ends)
    assert tensor.flatten().tolist() == [0, 1]
    assert type(layout.high) is float


def test_what_is_not_finite_becomes_nan():
    tensor, _ = to_tensor(np.array([[0.5, np.nan, np.inf, -np.inf]]))
    assert tensor.isnan().flatten().tolist() == [False, True, True, True]


# Masked arrays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_masked_values_are_missing(kind):
    image = np.ma.MaskedArray(np.array([[1, 0, 99]], kind), [[False, False, True]])
    tensor, layout = to_tensor(image, (0, 1) if kind == np.float32 else None)
    assert tensor.isnan().flatten().tolist() == [False, False, True]
    back = from_tensor(torch.full_like(tensor, 1.0), ~tensor.isnan(), layout)
    assert type(back) is np.ndarray
    assert back.tolist() == [[1, 0, 1 if kind == np.float32 else 255]]


def test_the_fill_value_of_a_masked_array_does_not_count_for_its_range():
    image = np.ma.MaskedArray([[0.25, -9999.0]], [[False, True]])
    assert to_tensor(image)[0][..., 0].item() == 0.25


def test_a_masked_array_is_restored_where_it_is_masked(picture, mask, tiny):
    damaged = np.ma.MaskedArray(picture, np.repeat(~mask[..., None], 3, 2))
    result = untaught.restore(damaged, recipe=tiny, iterations=2).picture
    np.testing.assert_array_equal(result[mask], picture[mask])
    expected = untaught.inpaint(np.where(mask[..., None], picture, 0), mask, recipe=tiny, iterations=2).picture
    assert result.dtype == expected.dtype


# Labelled and lazy arrays -------------------------------------------------------------------------------------------


class Coordinate:
    def __init__(self, dims, values):
        self.dims, self.values = dims, values


class Labelled:
    """What is asked of an xarray.DataArray."""

    def __init__(self, values, dims, coords=None, attrs=None, name=None):
        self.values, self.dims, self.coords, self.attrs, self.name = values, dims, coords or {}, attrs or {}, name
        self.shape = values.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def labelled(values, dims, **coords):
    coordinates = {name: Coordinate((name,), ticks) for name, ticks in coords.items()}
    return Labelled(values, dims, coordinates, {"units": "K"}, "temperature")


def test_labels_are_kept():
    image = labelled(IMAGE, ("y", "x", "band"), y=np.arange(6), band=list("rgb"))
    back = restored(image)
    assert isinstance(back, Labelled)
    np.testing.assert_array_equal(back.values, IMAGE)
    assert (back.dims, back.attrs, back.name) == (image.dims, image.attrs, image.name)
    assert set(back.coords) == {"y", "band"}
    _, layout = to_tensor(image)
    assert isinstance(laid_out(np.zeros((1, 3, 6, 20)), layout), Labelled)


def test_labels_of_an_axis_that_changed_its_length_are_dropped():
    _, layout = to_tensor(labelled(IMAGE, ("y", "x", "band"), y=np.arange(6), band=list("rgb")))
    back = from_tensor(torch.zeros(1, 3, 12, 40), None, layout)
    assert back.values.shape == (12, 40, 3)
    assert set(back.coords) == {"band"}
    _, layout = to_tensor(labelled(IMAGE[..., 0], ("y", "x")))
    assert type(from_tensor(torch.zeros(1, 3, 6, 20), None, layout)) is np.ndarray


def test_the_real_xarray(picture, mask, tiny):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    coords = {"band": list("rgb"), "y": np.arange(24) * 0.5, "time": 7}
    image = xarray.DataArray(np.moveaxis(picture, -1, 0), coords, ("band", "y", "x"), "photo", {"units": "1"})
    back = restored(image, channel_axis=0)
    xarray.testing.assert_identical(back, image)
    flat = image.transpose("y", "x", "band")
    xarray.testing.assert_identical(restored(flat), flat)
    result = untaught.inpaint(flat, xarray.DataArray(mask, dims=("y", "x")), recipe=tiny, iterations=2).picture
    assert isinstance(result, xarray.DataArray)
    np.testing.assert_array_equal(result.values[mask], picture[mask])


def test_the_real_dask():
    dask = pytest.importorskip("dask.array", reason="dask is not installed")
    np.testing.assert_array_equal(restored(dask.from_array(IMAGE, chunks=4)), IMAGE)


class Lazy:
    """What is asked of a dask array."""

    def __array__(self, dtype=None, copy=None):
        return IMAGE


def test_anything_that_becomes_an_array_will_do():
    back = restored(Lazy())
    assert type(back) is np.ndarray
    np.testing.assert_array_equal(back, IMAGE)


# Channels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 40, 30), (1, 40, 30), (4, 17, 17)])
def test_channels_first_are_refused_with_the_way_to_say_so(shape):
    image = np.zeros(shape, np.uint8)
    with pytest.raises(
        InputError, match=r"looks like \(C, H, W\): channels come last.*channel_axis=0.*channel_axis=-1"
    ):
        to_tensor(image)
    assert to_tensor(image, channel_axis=0)[0].shape == (1, *shape)
    assert to_tensor(image, channel_axis=-1)[0].shape == (1, shape[2], *shape[:2])


def test_few_rows_with_plausible_channels_are_a_picture():
    assert to_tensor(np.zeros((3, 40, 16)))[0].shape == (1, 16, 3, 40)
    assert to_tensor(np.zeros((5, 40, 30)))[0].shape == (1, 30, 5, 40)
    assert to_tensor(np.zeros((3, 40, 30)), volume=True)[0].shape == (1, 1, 3, 40, 30)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_the_axis_of_the_channels_comes_back_where_it_was(axis):
    image = np.moveaxis(IMAGE, -1, axis)
    tensor, layout = to_tensor(image, channel_axis=axis)
    torch.testing.assert_close(tensor, to_tensor(IMAGE)[0])
    everything = torch.ones_like(tensor, dtype=torch.bool)
    for known in (None, everything):
        np.testing.assert_array_equal(from_tensor(tensor, known, layout), image)
    assert laid_out(tensor.numpy(), layout).shape == image.shape
    np.testing.assert_array_equal(in_unit_range(image, channel_axis=axis), in_unit_range(IMAGE))
    white = np.moveaxis(IMAGE > 100, -1, axis)
    np.testing.assert_array_equal(known_values(white, layout)[0].numpy(), np.moveaxis(IMAGE > 100, -1, 0))


def test_the_axis_of_a_volume_of_channels():
    image = np.zeros((2, 4, 6, 5), np.uint8)
    assert to_tensor(image, volume=True, channel_axis=0)[0].shape == (1, 2, 4, 6, 5)
    assert restored(image, volume=True, channel_axis=0).shape == image.shape


# What is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(3), r"\(H, W\) or \(H, W, C\)"),
        (np.zeros((2, 3, 4, 5)), r"\(H, W\) or \(H, W, C\) .*volume=True"),
        (np.zeros((0, 4)), "at least one"),
        (torch.zeros(3, 4), r"\(N, C, H, W\)"),
        (torch.zeros(1, 2, 3, 4, 5), "volume=True"),
        (torch.zeros(0, 1, 4, 4), "at least one"),
        (np.zeros((2, 2), complex), "complex128 values: a picture has real numbers"),
        (np.array([["a", "b"]]), "real numbers"),
        (np.array([[None, 1]]), "object values"),
        (np.zeros((2, 2), bool), "bool has no range of its own"),
        (np.full((2, 2), 7.0), r"value_range=\(7, 7\)"),
        (np.full((2, 2), -1, np.int16), "no range of its own"),
    ],
)
def test_what_is_not_a_picture_is_refused(image, message):
    with pytest.raises(InputError, match=message):
        to_tensor(image)


@pytest.mark.parametrize("value_range", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1), (1,), (0, 1, 2), 5, ("a", "b")])
def test_an_impossible_value_range_is_refused(value_range):
    with pytest.raises(InputError, match="the lower first"):
        to_tensor(np.zeros((2, 2)), value_range)


@pytest.mark.parametrize(
    ("image", "axis"),
    [(np.zeros((4, 4)), 0), (np.zeros((4, 4, 3)), 3), (np.zeros((4, 4, 3)), -4), (torch.zeros(1, 3, 4, 4), 3)],
)
def test_an_impossible_channel_axis_is_refused(image, axis):
    with pytest.raises(InputError, match=f"found channel_axis={axis}"):
        to_tensor(image, channel_axis=axis)


# Masks --------------------------------------------------------------------------------------------------------------


def layout_of(shape, **options):
    return to_tensor(torch.zeros(shape) if len(shape) == 4 else np.zeros(shape), **options)[1]


@pytest.mark.parametrize("mark", [lambda m: m, lambda m: m * np.uint8(255), lambda m: m.astype(float), lambda m: m * 1])
def test_masks_of_two_values(mark):
    mask = np.array([[True, False, True], [False, True, True]])
    known = known_values(mark(mask), layout_of((2, 3, 2)))
    assert known.shape == (1, 2, 2, 3)
    assert known.dtype == torch.bool
    np.testing.assert_array_equal(known[0, 1].numpy(), mask)


def test_a_mask_may_differ_from_channel_to_channel():
    mask = np.zeros((2, 3, 2), bool)
    mask[0, 0, 1] = True
    known = known_values(mask, layout_of((2, 3, 2)))
    assert known[0, 1, 0, 0]
    assert known.sum() == 1


@pytest.mark.parametrize(
    ("mask", "shape", "message"),
    [
        (np.ones((3, 2), bool), (2, 3), "height and width"),
        (np.full((2, 3), 0.5), (2, 3), "two values"),
        (np.full((2, 3), 7, np.uint8), (2, 3), "from 7 to 7"),
        (np.ones((4, 4), bool), (1, 1, 2, 3), "must broadcast"),
    ],
)
def test_what_is_not_a_mask_is_refused(mask, shape, message):
    with pytest.raises(InputError, match=message):
        known_values(mask, layout_of(shape))
