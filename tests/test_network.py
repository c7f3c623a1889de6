import pytest
import torch

from tests.conftest import small_config
from trm_cli.config import MIXERS, ModelConfig
from trm_cli.errors import ConfigError
from trm_cli.model.network import TinyRecursiveModel


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_step_returns_states_logits_and_halts_of_the_right_shape(mixer: str) -> None:
    network = TinyRecursiveModel(small_config(mixer))
    x = network.embed(torch.randint(1, 6, (3, 16)))
    y, z = network.starting_state(3)
    assert x.shape == y.shape == z.shape == (3, *network.state_shape)
    y, z, logits, halt = network(x, y, z)
    assert y.shape == z.shape == x.shape
    assert logits.shape == (3, 16, 6)
    assert halt.shape == (3,)


@pytest.mark.parametrize("mixer", ["equivariant", "units"])
def test_renaming_the_digits_renames_the_answer(mixer: str) -> None:
    torch.manual_seed(0)
    network = TinyRecursiveModel(small_config(mixer, start="fixed"))
    puzzle = torch.randint(1, 6, (2, 16))
    renamed = torch.tensor([0, 1, 4, 2, 5, 3])
    y, z = network.starting_state(2)
    *_, logits, _ = network(network.embed(puzzle), y, z)
    *_, logits_of_renamed, _ = network(network.embed(renamed[puzzle]), y, z)
    torch.testing.assert_close(logits_of_renamed[..., renamed], logits, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("mixer", ["equivariant", "units"])
def test_a_blank_or_padding_is_never_the_likeliest_answer(mixer: str) -> None:
    network = TinyRecursiveModel(small_config(mixer))
    *_, logits, _ = network(network.embed(torch.ones(1, 16).long()), *network.starting_state(1))
    assert logits.argmax(-1).min() >= 2


def test_a_new_network_does_not_halt() -> None:
    network = TinyRecursiveModel(small_config("mlp"))
    *_, halt = network(network.embed(torch.ones(1, 16).long()), *network.starting_state(1))
    assert halt.item() == -5


def test_a_fixed_start_is_the_same_everywhere_and_a_random_one_follows_its_seed() -> None:
    fixed = TinyRecursiveModel(small_config("mlp", start="fixed")).starting_state(2)[1]
    assert (fixed == fixed[0, 0]).all()
    network = TinyRecursiveModel(small_config("mlp"))
    z = [network.starting_state(2, torch.Generator().manual_seed(s))[1] for s in (1, 1, 2)]
    assert (z[0] == z[1]).all()
    assert (z[0] != z[2]).any()
    assert (z[0][0] != z[0][1]).any()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mixer": "magic"}, "model.mixer"),
        ({"hidden_size": 0}, "model.hidden_size"),
        ({"box_height": 3}, "boxes of 3x2"),
        ({"num_prefix": 1}, "model.num_prefix"),
        ({"mixer": "attention", "num_heads": 3}, "model.hidden_size"),
        ({"vocab_size": 2}, "model.vocab_size"),
    ],
)
def test_an_impossible_architecture_is_refused_by_name(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        small_config(**changes)  # type: ignore[arg-type] # wrong on purpose


def test_the_paper_s_sudoku_network_has_the_published_size() -> None:
    with torch.device("meta"):
        network = TinyRecursiveModel(ModelConfig())
    trained = sum(p.numel() for p in network.parameters())
    # The paper's 5,028,866 has a second halt row; its one prefix vector of 512 is a buffer there.
    assert trained - 16 * 512 + 513 == 5_028_866
