"""Features of patches: where they are taken, their order, and SigLIP's path with random weights in its place."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from tesserae.config.systems import topk_sae
from tesserae.encoders import semantic
from tesserae.encoders.embedded import NETWORKS, EmbeddedNetwork
from tesserae.encoders.semantic import CHANNELS, patch_features


def some_images(side=64):
    return 2 * torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("side", "patches"), [(None, 16), (64, 16), (96, 36), (48, 9)])
def test_embedded_patches_are_the_networks_map_row_by_row(name, side, patches):
    features = patch_features(name, some_images(), side=side)
    assert features.shape == (2, patches, CHANNELS[name]) and not features.requires_grad
    with torch.no_grad():
        maps = EmbeddedNetwork(side or 64, name=name).stages(some_images())[4]
    rows = int(patches**0.5)
    torch.testing.assert_close(features[:, rows + 2], maps[:, :, 1, 2])


def test_configuration_knows_the_widths():
    assert topk_sae.WIDTHS == CHANNELS


@pytest.mark.parametrize("wrong", [{"side": 40}, {"feature": "pooled"}, {"feature": "last"}])
def test_what_embedded_has_not_is_refused(wrong):
    with pytest.raises(ValueError, match=r"lite2 has block_out|feature must be one of"):
        patch_features("lite2", some_images(), **wrong)


@pytest.fixture(scope="module")
def random_siglip(tmp_path_factory):
    """SigLIP as it is, but for 2 blocks; the file is made of it, the path to it is the real one."""
    folder, whole = tmp_path_factory.mktemp("weights"), timm.create_model
    semantic._read_siglip.cache_clear()
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(semantic.FOLDER_VARIABLE, str(folder))
        with patch.context() as fewer:
            fewer.setattr(timm, "create_model", lambda *names, **settings: whole(*names, depth=2, **settings))
            network = semantic.make_siglip().eval()
            with torch.no_grad():
                network.norm.weight.normal_()
                network.norm.bias.normal_()
            save_file(network.state_dict(), folder / semantic.SIGLIP_FILE)
            semantic._read_siglip(str(folder), torch.device("cpu"))
        yield network
    semantic._read_siglip.cache_clear()


@torch.no_grad()
def test_siglips_tensors_differ_by_the_norm_and_the_pool(random_siglip):
    images = some_images(256)
    out, last, pooled = (patch_features("siglip", images, feature) for feature in semantic.FEATURES)
    assert out.shape == last.shape == (2, 256, 768) and pooled.shape == (2, 1, 768)
    torch.testing.assert_close(random_siglip.norm(out), last, rtol=0, atol=0)
    torch.testing.assert_close(random_siglip(images), pooled[:, 0])
    # What tells one from the other in the statistics: the norm's own gain and bias.
    plain = (last - random_siglip.norm.bias) / random_siglip.norm.weight
    torch.testing.assert_close(plain.std(-1, unbiased=False), torch.ones(2, 256), rtol=0, atol=1e-3)
    assert (out.std(-1, unbiased=False) - 1).abs().min() > 0.01


@torch.no_grad()
def test_siglip_resizes_other_images(random_siglip):
    wanted = F.interpolate(some_images(), (256, 256), mode="bicubic", antialias=True).clamp(-1, 1)
    assert torch.equal(patch_features("siglip", some_images()), patch_features("siglip", wanted, side=256))
    with pytest.raises(ValueError, match="side 256, not 64"):
        patch_features("siglip", some_images(), side=64)


def test_published_siglip_has_the_stated_size():
    with torch.device("meta"):
        network = semantic.make_siglip()
    assert sum(p.numel() for p in network.parameters()) == 92_930_304
    network.attn_pool = None
    assert sum(p.numel() for p in network.parameters()) == 85_843_200
    assert (network.embed_dim, network.num_prefix_tokens) == (CHANNELS["siglip"], 0)
    assert "tanh" in repr(network.blocks[0].mlp.act).lower()
    assert network.norm.eps == 1e-6 and len(network.blocks) == 12


def test_missing_siglip_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv(semantic.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="encoder: lite2") as error:
        patch_features("siglip", some_images())
    assert str(tmp_path / semantic.SIGLIP_FILE) in str(error.value)
