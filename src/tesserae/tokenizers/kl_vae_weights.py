"""Published weights of convolutional KL autoencoders, kl_vae's and va_vae's.

`kl16.ckpt` (MAR-VAE) and VA-VAE's `.pt` have latent diffusion's names, which are ours; SD-VAE's files have those of
diffusers' AutoencoderKL.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.first_stage import FirstStage

__all__ = ["DROPPED", "load_official", "our_name", "read_official"]

# What files hold of networks that only training needed: losses with their discriminator, VA-VAE's foundation model and
# its linear map.
DROPPED = ("loss.", "foundation_model.", "linear_proj.")

ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "query": "q",  # the four names of SD-VAE's files, which older versions of diffusers wrote
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}


def our_name(official: str, levels: int) -> str:
    """The name of a published tensor in an autoencoder of so many levels. Latent diffusion's names stay as they are."""
    name = official
    if found := re.fullmatch(r"(.*\.attentions\.\d+\.)(.+)\.(weight|bias)", name):
        place, part, kind = found.groups()
        name = f"{place}{ATTENTION.get(part, part)}.{kind}"
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    name = re.sub(r"mid_block\.attentions\.0", "mid.attn_1", name)
    name = re.sub(r"down_blocks\.(\d+)\.", r"down.\1.", name)
    # diffusers counts the decoder's levels as they are run, latent diffusion from the highest resolution
    name = re.sub(r"up_blocks\.(\d+)\.", lambda found: f"up.{levels - 1 - int(found[1])}.", name)
    for theirs, ours in (
        (".resnets.", ".block."),
        (".attentions.", ".attn."),
        (".downsamplers.0.", ".downsample."),
        (".upsamplers.0.", ".upsample."),
        (".conv_shortcut.", ".nin_shortcut."),
        (".conv_norm_out.", ".norm_out."),
    ):
        name = name.replace(theirs, ours)
    return name


def load_official(model: FirstStage, state: Mapping[str, Tensor]) -> int:
    """Copy published tensors into an autoencoder; returns how many tensors of DROPPED the file held besides.

    ValueError lists all that does not fit, before anything is copied.
    """
    levels = len(model.encoder.down)
    projections = re.compile(r"\.(q|k|v|proj_out)\.weight$")
    fitting = {
        # diffusers has linear layers where latent diffusion has 1x1 convolutions
        name: tensor[..., None, None] if tensor.ndim == 2 and projections.search(our_name(name, levels)) else tensor
        for name, tensor in state.items()
    }
    load_strictly(
        model,
        fitting,
        rename=lambda name: our_name(name, levels),
        training_only=model.TRAINING_ONLY,
        dropped=DROPPED,
    )
    return sum(name.startswith(DROPPED) for name in state)
