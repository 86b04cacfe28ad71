"""T5's frozen encoder (arXiv 1910.10683), which reads the parts of a relation at the paper's scale (COMiT, App. B.2).

DECISION (D22): T5-base; the paper names no size. Its files lie below the folder $TESSERAE_WEIGHTS; transformers has the
network.
"""

import functools
import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tesserae.encoders.published import FOLDER_VARIABLE, weights_file
from tesserae.nn.official import load_strictly, read_official

# T5-base's encoder; 109,628,544 parameters with the table of words
T5 = {"vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
WEIGHTS_FILE, WORDS_FILE = "t5-base/model.safetensors", "t5-base/tokenizer.json"  # hub google-t5/t5-base
DECODER = ("decoder.", "lm_head.")


@torch.no_grad()
def t5_features(texts: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
    """Texts -> last hidden states float32 (n, T, 768), and bool (n, T) which are no padding; their end mark is none.

    FileNotFoundError or ImportError, with the remedy, for files or a package that are not there.
    """
    words, network = _read(os.environ.get(FOLDER_VARIABLE), torch.device(device))
    ids, there = words(list(texts))
    ids, there = ids.to(device), there.to(device)
    return network(input_ids=ids, attention_mask=there).last_hidden_state, there.bool()


def encoder() -> nn.Module:
    """The network with random weights; ImportError, with the remedy, without transformers."""
    try:
        from transformers import T5Config, T5EncoderModel
    except ImportError as error:
        raise ImportError(
            f"the text encoder `t5` needs transformers ({error}): pip install transformers, or take `minilm`"
        ) from error
    return T5EncoderModel(T5Config(**T5))


@functools.cache
def _read(folder: str | None, device: torch.device) -> tuple[Callable[[list[str]], tuple[Tensor, Tensor]], nn.Module]:
    """What turns texts into ids and their mask, and the network."""
    network = encoder()
    needs, remedy = "the text encoder `t5` needs T5-base", "get it from the hub's google-t5/t5-base, or take `minilm`"
    weights, words = (weights_file(folder, name, needs, remedy) for name in (WEIGHTS_FILE, WORDS_FILE))
    state = read_official(weights)
    state.setdefault("encoder.embed_tokens.weight", state.get("shared.weight"))  # one tensor under two names
    load_strictly(network, state, dropped=DECODER)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(words))
    tokenizer.enable_padding()

    def read(texts: list[str]) -> tuple[Tensor, Tensor]:
        found = tokenizer.encode_batch(texts)
        return torch.tensor([one.ids for one in found]), torch.tensor([one.attention_mask for one in found])

    return read, network.requires_grad_(False).eval().to(device)
