import pytest
import torch

from untaught.errors import InputError
from untaught.physics.blur import Blur
from untaught.physics.operator import check_output

SHAPE = (1, 3, 8, 8)


def broken(_):
    raise RuntimeError("no such thing\nand more")


@pytest.mark.parametrize(
    ("operator", "observed", "message"),
    [
        (lambda x: x.mean(1, keepdim=True), SHAPE, r"to \(1, 1, 8, 8\) and \(1, 3, 8, 8\) was observed"),
        (Blur(torch.ones(3, 3)), SHAPE, r"to \(1, 3, 6, 6\) and .* size=\(height, width\)"),
        (Blur(torch.ones(9, 9)), SHAPE, "the operator fails on a picture of .* if the picture has another size"),
        (broken, SHAPE, "fails on a picture of .*: no such thing; "),
        (lambda x: x.detach().numpy(), SHAPE, "returns a ndarray: it must return a torch tensor"),
        (lambda x: x.detach() + 1, SHAPE, "no gradient comes back from the operator"),
    ],
)
def test_an_operator_that_does_not_fit_is_refused_in_a_sentence(operator, observed, message):
    with pytest.raises(InputError, match=message) as caught:
        check_output(operator, SHAPE, observed)
    assert "\n" not in str(caught.value)


def test_an_operator_that_fits_passes():
    with torch.no_grad():
        check_output(Blur(torch.ones(3, 3)), SHAPE, (1, 3, 6, 6))
