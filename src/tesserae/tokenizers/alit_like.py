"""A tokenizer of ALIT's family (arXiv 2411.02393): one encoder passes over an image several times, and each pass adds
tokens and writes all earlier ones anew.

As in ALIT's code: class token, patches and tokens see each other; each pass's new tokens start from the same learned
ones, with an embedding of the pass; after each pass all tokens so far are coded, by a codebook of directions, and
decoded beside mask tokens, and each pass's image counts in the loss, early ones more. What is made of an image is what
the last pass leaves. DEPARTS: patches of pixels are read and predicted, where ALIT reads and predicts the codes of a
VQGAN as well, and later images with a GAN; so no patch is hidden for being predicted well (its "dynamic halting"), and
there is no search for the least number of passes.

Shapes: B images (B, 3, S, S), P patches of p values, R passes, n new tokens of each, N = R n tokens, d values of a
token, D width.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.clip_blocks import Block, init_layers, learned, spared_from_decay
from tesserae.nn.patches import patchify, unpatchify
from tesserae.nn.positions import placed
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.vector import Quantized, VectorQuantizer, codebook_health

INIT_STD = 0.02  # official code


def blocks_of(size: TransformerSize) -> nn.ModuleList:
    return nn.ModuleList(Block(size["width"], size["heads"]) for _ in range(size["blocks"]))


def run(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    """(B, T, D) -> the same, by blocks that have tokens first."""
    x = x.transpose(0, 1)
    for block in blocks:
        x = block(x)
    return x.transpose(0, 1)


class RecurrentEncoder(nn.Module):
    """Patches (B, P, p) -> after each pass all tokens so far (B, n), (B, 2 n) ... (B, N, d), before they are coded."""

    def __init__(self, size: TransformerSize, patches: int, values: int, new: int, passes: int, out: int):
        super().__init__()
        width = size["width"]
        self.patches = patches
        self.patch_embed = nn.Linear(values, width)
        self.class_embedding, self.positional_embedding = learned(1, width), learned(1 + patches, width)
        self.latent_tokens, self.latent_positional_embedding = learned(new, width), learned(new, width)
        self.pass_embedding = learned(passes, new, width)
        self.ln_pre, self.ln_recursive, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer, self.out = blocks_of(size), nn.Linear(width, out)

    def forward(self, patches: Tensor) -> Iterator[Tensor]:
        count = len(patches)
        x = torch.cat([self.class_embedding.expand(count, 1, -1), self.patch_embed(patches)], dim=1)
        x, norm = x + self.positional_embedding, self.ln_pre
        fresh = self.latent_tokens + self.latent_positional_embedding
        for embedding in self.pass_embedding:
            x = run(self.transformer, norm(torch.cat([x, (fresh + embedding).expand(count, -1, -1)], dim=1)))
            yield self.out(self.ln_post(x[:, 1 + self.patches :]))
            norm = self.ln_recursive


class MaskDecoder(nn.Module):
    """Entries of the codebook (B, M, d), of any M up to N -> patches (B, P, p)."""

    def __init__(self, size: TransformerSize, patches: int, values: int, tokens: int, code_width: int):
        super().__init__()
        width = size["width"]
        self.decoder_embed, self.mask_token = nn.Linear(code_width, width), learned(1, width)
        self.class_embedding, self.positional_embedding = learned(1, width), learned(1 + patches, width)
        self.latent_positional_embedding = learned(tokens, width)
        self.ln_pre, self.ln_post, self.transformer = nn.LayerNorm(width), nn.LayerNorm(width), blocks_of(size)
        self.ffn = nn.Sequential(nn.Linear(width, 2 * width), nn.Tanh(), nn.Linear(2 * width, values))

    def forward(self, vectors: Tensor) -> Tensor:
        places = len(self.positional_embedding)
        hidden = torch.cat([self.class_embedding, self.mask_token.expand(places - 1, -1)]) + self.positional_embedding
        tokens = self.decoder_embed(vectors) + self.latent_positional_embedding[: vectors.shape[1]]
        x = run(self.transformer, self.ln_pre(torch.cat([hidden.expand(len(vectors), -1, -1), tokens], dim=1)))
        return self.ffn(self.ln_post(x[:, 1:places]))


class ALITLike(nn.Module):
    """The tokenizer and its losses. `pass_weights` say how much the image of each pass counts; there are as many passes
    as `latent_tokens` are times `new_tokens`, and the first so many weights hold.
    """

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        latent_tokens: int,
        new_tokens: int,
        codebook_size: int,
        code_width: int,
        encoder: TransformerSize,
        decoder: TransformerSize,
        pass_weights: Sequence[float],
        quantizer: float,
        commitment: float,
    ):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"image side {image_size} is not divisible by patches of {patch_size}")
        if latent_tokens % new_tokens or not 0 < latent_tokens // new_tokens <= len(pass_weights):
            raise ValueError(
                f"{latent_tokens} tokens cannot be added by {new_tokens} in at most {len(pass_weights)} passes, "
                "for each of which there is a weight"
            )
        self.patch_size, self.grid, self.tokens, self.vocabulary = (
            patch_size,
            image_size // patch_size,
            latent_tokens,
            codebook_size,
        )
        self.pass_weights, self.quantizer, self.commitment = list(pass_weights), quantizer, commitment
        patches, values = self.grid**2, 3 * patch_size**2
        passes = latent_tokens // new_tokens
        self.encoder = RecurrentEncoder(encoder, patches, values, new_tokens, passes, code_width)
        self.decoder = MaskDecoder(decoder, patches, values, latent_tokens, code_width)
        for module in self.modules():
            init_layers(module, INIT_STD)
        self.quantize = VectorQuantizer(codebook_size, code_width, clustering=False, l2=True)

    def place_tokens(self) -> None:
        """Positions of patches start as those of a grid, in both halves."""
        for half in (self.encoder, self.decoder):
            positions = half.positional_embedding.data[1:]
            positions.copy_(positions.shape[1] ** -0.5 * placed(positions.shape[1], len(positions)))

    # ---- use ----------------------------------------------------------------------------------------------------

    def latents(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, S, S) in [-1, 1] -> after each pass what is coded, (B, n, d), (B, 2 n, d) ... (B, N, d)."""
        return list(self.encoder(patchify(images, self.patch_size)))

    def encode(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> codes of the last pass, int64 (B, N). Nothing is drawn."""
        return self.quantize(self.latents(images)[-1]).codes

    def code_vectors(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, N) -> entries of the codebook, float32 (B, N, d)."""
        return self.quantize.lookup(codes)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, M), those of all passes or of fewer -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return self.pixels(self.decoder(self.quantize.lookup(codes)))

    def pixels(self, patches: Tensor) -> Tensor:
        """(B, P, p) -> (B, 3, S, S)."""
        return unpatchify(patches, self.patch_size, self.grid)

    # ---- training -----------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> Iterator[tuple[Tensor, Quantized]]:
        """Images (B, 3, S, S) in [-1, 1] -> after each pass the patches (B, P, p) that are predicted, and the codes."""
        for latents in self.latents(images):
            quantized = self.quantize(latents)
            yield self.decoder(quantized.vectors), quantized

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple]:
        """Weighted terms of the one update, and usage and perplexity of the last pass's codes in these images.

        batch["images"] (B, 3, S, S) in [-1, 1]; "reconstruction" is the weighted sum over passes of mean squared
        errors, "quantizer" the sum of what pulls codes and codebook. Losses are float32, `rng` is not used.
        """
        wanted, errors, pulled = patchify(batch["images"].float(), self.patch_size), [], []
        for found, quantized in self(batch["images"]):
            with torch.autocast(wanted.device.type, enabled=False):
                errors.append(F.mse_loss(found.float(), wanted))
                pulled.append(quantized.codebook + self.commitment * quantized.commitment)
        weighted = (weight * error for weight, error in zip(self.pass_weights, errors, strict=False))
        terms = {"reconstruction": sum(weighted), "quantizer": self.quantizer * sum(pulled)}
        watched = codebook_health(quantized.codes, self.vocabulary)
        yield "autoencoder", terms, watched | {"first_pass": errors[0], "last_pass": errors[-1]}

    def freeze_encoder(self) -> None:
        """Leave only the decoder to train: codes and codebook stay what they are."""
        self.encoder.requires_grad_(False)
        self.quantize.requires_grad_(False)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """The one group and its trainable parameters."""
        return {"autoencoder": [(name, p) for name, p in self.named_parameters() if p.requires_grad]}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Vectors, norms, tokens, positions, the codebook and everything called an embedding."""
        return spared_from_decay(name, parameter)


def build(spec: dict) -> ALITLike:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of ALITLike."""
    return ALITLike(**spec)
