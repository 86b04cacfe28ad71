"""Official names of convolutional autoencoders, as conv_autoencoder.py has them.

Those of LlamaGen, which Hita has as well, and those of diffusers' AutoencoderKL, in which SD-VAE is published.
"""

import re
from collections.abc import Mapping

from torch import Tensor

MIDDLE = ("block_1", "attn_1", "block_2")


def our_name(official: str, levels: int) -> str:
    """The name of an official tensor of `encoder.` or `decoder.`, of so many levels; others keep theirs."""
    name = re.sub(r"\.mid\.(\d)\.", lambda found: f".mid.{MIDDLE[int(found[1])]}.", official)
    name = re.sub(r"^encoder\.conv_blocks\.", "encoder.down.", name)
    # the official decoder counts its levels as they are run, ours from the highest resolution
    name = re.sub(r"^decoder\.conv_blocks\.(\d+)", lambda found: f"decoder.up.{levels - 1 - int(found[1])}", name)
    return name.replace(".res.", ".block.")


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


def name_of_diffusers(official: str, levels: int) -> str:
    """The name of a tensor of SD-VAE's files in an autoencoder of so many levels; latent diffusion's stay."""
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


def as_convolutions(state: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """Tensors under their own names, with 1x1 convolutions where diffusers has linear layers."""
    projections = re.compile(r"\.(q|k|v|proj_out)\.weight$")
    return {
        name: x[..., None, None] if x.ndim == 2 and projections.search(name_of_diffusers(name, levels)) else x
        for name, x in state.items()
    }
