import pytest
import torch

import untaught
from untaught.errors import InputError
from untaught.physics.blur import Blur
from untaught.physics.linear import Composed, ComposedLinear, Identity, LinearOperator, Mask
from untaught.physics.resampling import Downsample


def test_a_mask_hides_nan():
    known = torch.rand(1, 3, 6, 5) > 0.4
    assert Mask(known)(torch.where(known, 0.5, torch.nan)).isfinite().all()


def test_a_mask_is_bool():
    with pytest.raises(InputError, match=r"found a mask of torch\.float32"):
        Mask(torch.ones(1, 1, 4, 4))


def test_a_mask_for_each_picture_takes_the_runs_one_after_the_other():
    known = torch.rand(2, 1, 6, 5) > 0.4
    pictures = torch.rand(6, 3, 6, 5)
    expected = torch.cat([Mask(known)(two) for two in pictures.chunk(3)])
    torch.testing.assert_close(Mask(known)(pictures), expected, rtol=0, atol=0)
    with pytest.raises(InputError, match="found 3 pictures: this operator is for 2"):
        Mask(known)(pictures[:3])


def test_several_runs_of_several_masked_pictures(tiny):
    known = torch.rand(2, 1, 16, 12, generator=torch.Generator().manual_seed(0)) > 0.3
    observed = Mask(known)(torch.rand(2, 3, 16, 12))
    run = untaught.fit(observed, Mask(known), recipe=tiny, runs=2, iterations=2)
    assert list(run)[-1].average.shape == observed.shape


def test_composition_applies_the_left_operator_first():
    picture = torch.rand(1, 3, 12, 10)
    blur, smaller = Blur(torch.rand(3, 3)), Downsample((10, 8), (5, 4))
    torch.testing.assert_close((blur >> smaller)(picture), smaller(blur(picture)))


def test_what_is_known_of_a_composition_is_what_its_last_operator_knows():
    known = torch.rand(1, 1, 5, 4) > 0.5
    assert torch.equal((Identity() >> Mask(known)).known, known)
    assert (Mask(known) >> Identity()).known is None


def test_any_callable_composes_on_either_side():
    picture = torch.rand(1, 3, 6, 5)
    blur = Blur(torch.ones(2, 2))
    torch.testing.assert_close((torch.exp >> blur)(picture), blur(picture.exp()))
    torch.testing.assert_close((blur >> torch.exp)(picture), blur(picture).exp())
    with pytest.raises(InputError, match="found a int: an operator is a differentiable callable"):
        blur >> 3


def test_a_composition_has_an_adjoint_only_if_all_parts_have_one():
    blur = Blur(torch.ones(2, 2))
    linear, general = blur >> blur >> Identity(), blur >> torch.sin >> blur
    assert isinstance(linear, ComposedLinear)
    assert isinstance(linear, LinearOperator)
    assert isinstance(general, Composed)
    assert not hasattr(general, "adjoint")


def test_sizes_of_a_composition_go_through_its_parts():
    composed = Blur(torch.ones(3, 5)) >> Downsample((10, 8), (5, 4)) >> Mask(torch.rand(5, 4) > 0.5)
    assert composed.output_size((12, 12)) == (5, 4)
    assert composed.input_size((5, 4)) == (12, 12)
    with pytest.raises(InputError, match=r"the mask is for pictures of \(5, 4\)"):
        composed.input_size((6, 4))
    for general in (composed >> torch.sin, torch.sin >> composed):
        with pytest.raises(InputError, match=r"sin does not say how .* by size=\(height, width\)"):
            general.input_size((5, 4))
