"""Published weights of convolutional KL autoencoders, kl_vae's and va_vae's.

`kl16.ckpt` (MAR-VAE) and VA-VAE's `.pt` have latent diffusion's names, which are ours; SD-VAE's files have those of
diffusers' AutoencoderKL.
"""

from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.conv_names import as_convolutions, name_of_diffusers
from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.first_stage import FirstStage

__all__ = ["DROPPED", "load_official", "read_official"]

# What files hold of networks that only training needed: losses with their discriminator, VA-VAE's foundation model and
# its linear map.
DROPPED = ("loss.", "foundation_model.", "linear_proj.")


def load_official(model: FirstStage, state: Mapping[str, Tensor]) -> int:
    """Copy published tensors into an autoencoder; returns how many tensors of DROPPED the file held besides.

    ValueError lists all that does not fit, before anything is copied.
    """
    levels = len(model.encoder.down)
    load_strictly(
        model,
        as_convolutions(state, levels),
        rename=lambda name: name_of_diffusers(name, levels),
        training_only=model.TRAINING_ONLY,
        dropped=DROPPED,
    )
    return sum(name.startswith(DROPPED) for name in state)
