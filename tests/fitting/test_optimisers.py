import pytest
import torch

import untaught
from untaught import NetworkSettings, OptimiserSettings, SettingError
from untaught.fitting.optimisers import (
    Muon,
    build_optimiser,
    orthogonalise,
    restore_learning_rates,
    scale_learning_rate,
    scheduled_rate,
    set_learning_rate,
)
from untaught.priors.encoder_decoder import EncoderDecoder


@pytest.mark.parametrize("shape", [(2, 16, 144), (1, 32, 32), (3, 40, 8)])
def test_orthogonalise_keeps_the_singular_vectors_and_levels_the_values(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    (result,) = orthogonalise([matrices])
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.3
    assert values.max() < 1.3
    u_before, _, v_before = torch.linalg.svd(matrices, full_matrices=False)
    nearest = u_before @ v_before
    cosine = (result * nearest).sum((1, 2)) / (result.norm(dim=(1, 2)) * nearest.norm(dim=(1, 2)))
    assert cosine.min() > 0.95


def test_orthogonalise_agrees_with_the_iteration_on_the_whole_matrix():
    """The plain Newton-Schulz iteration, as published, in double precision."""
    matrices = torch.randn(2, 12, 50, generator=torch.Generator().manual_seed(1))
    x = matrices.double() / torch.linalg.matrix_norm(matrices.double(), keepdim=True)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalise([matrices])[0].double(), x, atol=2e-4, rtol=0)


def test_orthogonalise_of_nothing_is_nothing():
    assert torch.equal(orthogonalise([torch.zeros(1, 4, 9)])[0], torch.zeros(1, 4, 9))


def test_orthogonalise_of_many_shapes_is_that_of_each():
    generator = torch.Generator().manual_seed(2)
    stacks = [torch.randn(shape, generator=generator) for shape in ((2, 8, 36), (1, 40, 8), (3, 8, 8), (1, 1, 12))]
    for together, stack in zip(orthogonalise(stacks), stacks, strict=True):
        assert together.shape == stack.shape
        torch.testing.assert_close(together, orthogonalise([stack])[0], atol=1e-6, rtol=0)


def test_muon_on_vectors_is_adam():
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0])) for _ in range(2))
    muon, adam = Muon([ours], lr=0.05), torch.optim.Adam([theirs], lr=0.05)
    for step in range(5):
        for parameter, optimiser in ((ours, muon), (theirs, adam)):
            optimiser.zero_grad()
            ((parameter - step) ** 4).sum().backward()
            optimiser.step()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_muon_moves_every_direction_of_a_kernel_equally_far():
    kernel = torch.nn.Parameter(torch.zeros(8, 4, 3, 3))
    kernel.grad = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    Muon([kernel], lr=0.1).step()
    values = torch.linalg.svdvals(kernel.detach().reshape(8, -1))
    assert values.min() > 0.03
    assert values.max() < 0.13


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_the_state_goes_into_a_dictionary_and_back(name):
    settings = NetworkSettings(input_channels=2, down_channels=(4,), up_channels=(4,), skip_channels=(2,))
    x = torch.rand(1, 2, 8, 8)

    def take_steps(network, optimiser, count):
        for _ in range(count):
            optimiser.zero_grad()
            network(x).square().mean().backward()
            optimiser.step()

    straight = EncoderDecoder(settings, 1, torch.Generator().manual_seed(0))
    optimiser = build_optimiser(OptimiserSettings(name=name), straight)
    take_steps(straight, optimiser, 6)

    first = EncoderDecoder(settings, 1, torch.Generator().manual_seed(0))
    before = build_optimiser(OptimiserSettings(name=name), first)
    take_steps(first, before, 3)
    second = EncoderDecoder(settings, 1)
    second.load_state_dict(first.state_dict())
    after = build_optimiser(OptimiserSettings(name=name), second)
    after.load_state_dict(before.state_dict())
    take_steps(second, after, 3)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_what_a_graph_can_capture_takes_the_same_steps(name):
    """All that changes stays where it is in memory, and the weights are those of the plain form."""
    settings = NetworkSettings(input_channels=2, down_channels=(4,), up_channels=(4,), skip_channels=(2,))
    plain, captured = (EncoderDecoder(settings, 1, torch.Generator().manual_seed(0)) for _ in range(2))
    optimisers = [
        build_optimiser(OptimiserSettings(name=name), network, capturable=capturable)
        for network, capturable in ((plain, False), (captured, True))
    ]

    def places():
        states = [value for state in optimisers[1].state.values() for value in state.values()]
        return [value.data_ptr() for value in (*states, *(group["lr"] for group in optimisers[1].param_groups))]

    before = []
    for step in range(8):
        for network, optimiser in zip((plain, captured), optimisers, strict=True):
            set_learning_rate(optimiser, 0.01 / (step + 1))
            gradients = torch.Generator().manual_seed(step)
            for parameter in network.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=gradients)
            optimiser.step()
        before.append(places())
    assert all(where == before[0] for where in before)
    for one, other in zip(plain.parameters(), captured.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_schedules():
    def rates(settings):
        return [scheduled_rate(settings, iteration, 10) for iteration in range(1, 11)]

    assert rates(OptimiserSettings(learning_rate=0.3)) == [0.3] * 10
    cosine = rates(OptimiserSettings(learning_rate=1.0, schedule="cosine", final_share=0.1))
    assert cosine == sorted(cosine, reverse=True)
    assert cosine[4] == pytest.approx(0.55)
    assert cosine[9] == pytest.approx(0.1)
    assert rates(OptimiserSettings(learning_rate=1.0, warmup=4))[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    halving = OptimiserSettings(learning_rate=0.8, schedule=lambda iteration, iterations: 1 - iteration / iterations)
    assert rates(halving)[4] == pytest.approx(0.4)


def test_a_fit_follows_its_schedule(tiny):
    settings = OptimiserSettings(learning_rate=0.8, schedule=lambda iteration, iterations: 1 - iteration / iterations)
    run = untaught.fit(torch.rand(1, 1, 8, 8), recipe=tiny, optimiser=settings, iterations=5)
    assert [state.learning_rate for state in run] == pytest.approx([0.64, 0.48, 0.32, 0.16, 0.0])


def test_the_learning_rates_of_all_groups_are_scaled():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 0.4)]
    optimiser = torch.optim.SGD(groups)
    assert scale_learning_rate(optimiser, 0.5) == 0.05
    assert [group["lr"] for group in optimiser.param_groups] == [0.05, 0.2]
    restore_learning_rates(optimiser, [0.1, 0.4])
    assert [group["lr"] for group in optimiser.param_groups] == [0.1, 0.4]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "sgd"},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"schedule": "step"},
        {"final_share": 2.0},
        {"warmup": -1},
        {"rate": 0.01},
    ],
)
def test_impossible_settings_are_refused(changes):
    with pytest.raises(SettingError):
        OptimiserSettings(**changes)


@pytest.mark.parametrize("shape", [(32, 6), (32, 27), (32, 135), (64, 288)])
def test_orthogonalise_gives_the_same_bits_with_any_number_of_threads(shape):
    before = torch.get_num_threads()
    matrices = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    try:
        found = []
        for threads in (1, 2, 3, 5, 8):
            torch.set_num_threads(threads)
            found.append(orthogonalise([matrices])[0])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, found[0]) for one in found)
