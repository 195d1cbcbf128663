import numpy as np
import torch

from untaught.physics.fourier import Fourier
from untaught.physics.linear import Mask


def test_it_is_the_orthonormal_transform():
    picture = torch.rand(1, 1, 6, 5, dtype=torch.float64)
    spectrum = Fourier()(picture)
    np.testing.assert_allclose(spectrum, np.fft.fft2(picture, norm="ortho"))
    torch.testing.assert_close(Fourier().adjoint(spectrum), picture)


def test_only_sampled_frequencies_are_seen():
    sampled = torch.rand(12, 10) > 0.5
    observed = (Fourier() >> Mask(sampled))(torch.rand(1, 1, 12, 10))
    assert observed.dtype == torch.complex64
    assert torch.equal((observed != 0)[0, 0], sampled)
