import torch

from untaught.physics.mixture import Mixture


def test_each_picture_is_a_weighted_mean_of_both_layers():
    layers = torch.rand(1, 6, 4, 5)
    pictures = Mixture((0.7, 0.2))(layers)
    torch.testing.assert_close(pictures[:, :3], 0.7 * layers[:, :3] + 0.3 * layers[:, 3:])
    torch.testing.assert_close(pictures[:, 3:], 0.2 * layers[:, :3] + 0.8 * layers[:, 3:])
