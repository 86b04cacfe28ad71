"""Latent diffusion's autoencoder (arXiv 2112.10752) at use, without what only its training needs: a first stage, in
whose latents others draw. Its tensors have the names that `tokenizers/first_stage.py` gives them.

Shapes: B images of side S, f how much smaller latents are, C their channels.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from tesserae.nn.conv_autoencoder import ConvDecoder, ConvEncoder

LOGVAR = -30.0, 20.0  # within which log-variances are held (latent diffusion, official code)


class LatentAutoencoder(nn.Module):
    """Images to a normal distribution of latents, and latents to images."""

    def __init__(
        self,
        *,
        channels: int,
        multipliers: Sequence[int],
        res_blocks: int,
        latent_channels: int,
        encoder_attention: bool,
        decoder_attention: bool,
    ):
        super().__init__()
        self.encoder = ConvEncoder(channels, multipliers, res_blocks, 2 * latent_channels, encoder_attention)
        self.quant_conv = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)
        self.decoder = ConvDecoder(channels, multipliers, res_blocks, latent_channels, decoder_attention)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S) in [-1, 1] -> mean and deviation of latents, float32 (B, C, S / f, S / f) each."""
        mean, logvar = self.quant_conv(self.encoder(images)).float().chunk(2, dim=1)
        return mean, (0.5 * logvar.clamp(*LOGVAR)).exp()

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, S / f, S / f), not scaled -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return self.decoder(self.post_quant_conv(latents))
