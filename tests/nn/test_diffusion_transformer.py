"""The network that SiT, DiT and LightningDiT share: its two layouts of tokens. The rest is tested with SiT."""

import pytest
import torch

from tesserae.nn.diffusion_transformer import DiffusionTransformer
from tesserae.nn.positions import sincos_2d

TINY = {
    "token_length": 16,
    "token_width": 4,
    "layout": "grid",
    "classes": 5,
    "width": 32,
    "blocks": 1,
    "heads": 4,
    "label_dropout": 0.1,
    "outputs": 6,
}


def test_positions_of_a_grid():
    table = sincos_2d(32, 4, 4)[None]
    fixed, trained = (DiffusionTransformer(**TINY, train_grid=train) for train in (False, True))
    for model in (fixed, trained):
        assert torch.equal(model.pos_embed, table) and "pos_embed" in model.state_dict()
        assert model.x_embedder.proj.weight.shape == (32, 4, 1, 1)
    assert "pos_embed" not in dict(fixed.parameter_groups()["generator"])
    assert "pos_embed" in dict(trained.parameter_groups()["generator"])


def test_a_sequence_needs_no_square_and_learns_its_positions():
    torch.manual_seed(0)
    model = DiffusionTransformer(**TINY | {"layout": "sequence", "token_length": 90})
    assert "pos_embed" in dict(model.parameter_groups()["generator"]) and model.x_embedder.weight.shape == (32, 4)
    assert model.pos_embed.shape == (1, 90, 32) and 0.018 < model.pos_embed.std() < 0.022
    output = model(torch.randn(2, 90, 4), torch.rand(2), model.y_embedder(torch.tensor([0, 5])))
    assert output.shape == (2, 90, 6) and output.abs().max() == 0


def test_refused_layouts():
    with pytest.raises(ValueError, match="unknown layout 'ring'"):
        DiffusionTransformer(**TINY | {"layout": "ring"})
    with pytest.raises(ValueError, match="square"):
        DiffusionTransformer(**TINY | {"token_length": 15})
