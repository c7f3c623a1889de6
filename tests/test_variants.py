import pytest
import torch

from tests.conftest import small_config
from trm_cli.config import ModelConfig
from trm_cli.errors import ConfigError
from trm_cli.model.network import TinyRecursiveModel
from trm_cli.model.recursion import damped


def test_a_damped_update_keeps_its_share_of_what_it_replaces() -> None:
    x, y, z = torch.tensor([100.0]), torch.tensor([10.0]), torch.tensor([1.0])
    net = damped(lambda *streams: sum(streams, torch.zeros(1)), 0.25)
    assert net(x, y, z) == 0.25 * 1 + 0.75 * 111
    assert net(y, z) == 0.25 * 10 + 0.75 * 11


def test_the_model_s_damping_is_that_of_every_update() -> None:
    torch.manual_seed(0)
    plain = TinyRecursiveModel(small_config(n=1, T=1))
    model = TinyRecursiveModel(small_config(n=1, T=1, damping=0.3))
    model.load_state_dict(plain.state_dict())
    x = plain.embed(torch.ones(2, 16, dtype=torch.int64))
    y, z = plain.starting_state(2, torch.Generator().manual_seed(1))
    z_after = 0.3 * z + 0.7 * plain.net(x, y, z)
    y_after = 0.3 * y + 0.7 * plain.net(y, z_after)
    found_y, found_z, _, _ = model(x, y, z)
    assert torch.allclose(found_z, z_after, atol=1e-6)
    assert torch.allclose(found_y, y_after, atol=1e-6)


@pytest.mark.parametrize("damping", [-0.1, 1.0, float("nan")])
def test_a_damping_that_cannot_be_is_refused(damping: float) -> None:
    with pytest.raises(ConfigError, match=r"model.damping: expected 0 to less than 1"):
        ModelConfig(damping=damping)
