"""ConceptTok ("Concept-Guided Tokenization"): a one-dimensional VQ tokenizer whose encoder reads a prompt and whose
latents are trained to name the concepts of the image. With TiTok (arXiv 2406.07550) and TA-TiTok (arXiv 2501.07730),
on which it builds, in their one-stage form: `text` says who reads the prompt, "none" (TiTok), "encoder" (ConceptTok) or
"decoder" (TA-TiTok).

The paper prints the losses, the order of the tokens (Eq. 5) and the settings (Tab. 5); layers and names are those of
the official code of TiTok, to which only the text in the encoder and the concept head are added.

Shapes: B images, S image side, G = S / patch side, P = G * G patches, N latent tokens, T prompt tokens, W their width,
D width of encoder or decoder, d width of a code, C concepts, K of them at most in an image.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.losses.adversarial import DiscriminatorSize, adversarial_groups, generator_loss, hinge_loss
from tesserae.losses.blur_discriminator import BlurDiscriminator
from tesserae.losses.concepts import concept_loss
from tesserae.losses.lecam import LeCam
from tesserae.losses.perceptual import perceptual_loss
from tesserae.nn.clip_blocks import LatentTransformer, init_layers, learned, spared_from_decay
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.vector import Quantized, VectorQuantizer, codebook_health


class LossWeights(TypedDict):
    mse: float
    perceptual: float
    quantizer: float
    gan: float
    lecam: float
    concept: float


class Reconstruction(NamedTuple):
    pixels: Tensor  # (B, 3, S, S), about [0, 1], not clamped
    latents: Tensor  # (B, N, D), Z_1D
    quantized: Quantized  # codes (B, N), vectors (B, N, d)


# ---- layers -----------------------------------------------------------------------------------------------------


class ReadingTransformer(LatentTransformer):
    """What encoder and decoder share: patches and latent tokens side by side, and perhaps a prompt that they see."""

    def __init__(self, size: TransformerSize, patches: int, latent_tokens: int, text: tuple[int, int] | None):
        # DECISION (D7): Eq. 1 shows patches and latents only; TiTok's class token stays in both halves.
        super().__init__(size, patches, latent_tokens)
        self.text = text
        if text is not None:
            tokens, text_width = text
            self.text_guidance_proj = nn.Linear(text_width, size["width"])
            # DECISION (D6): the paper names the projection only; positions as in TA-TiTok's decoder.
            self.text_guidance_positional_embedding = learned(tokens, size["width"])

    def read(self, patches: Tensor, latents: Tensor, text: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `transform`, with prompts (B, T, W). Raises ValueError for those that are missing or of another shape."""
        if self.text is None:
            return self.transform(patches, latents)
        if text is None or tuple(text.shape) != (len(patches), *self.text):
            shape = None if text is None else tuple(text.shape)
            raise ValueError(f"this tokenizer reads prompts of shape {(len(patches), *self.text)}, not {shape}")
        # At the end, as in TA-TiTok; where a token stands in Eq. 5 makes no difference, its position is added.
        words = self.text_guidance_proj(text) + self.text_guidance_positional_embedding
        return self.transform(patches, latents, words)


class Encoder(ReadingTransformer):
    """Pixels (B, 3, S, S) in [0, 1] and the latent tokens (N, D) -> Z_1D (B, N, D)."""

    def __init__(
        self,
        size: TransformerSize,
        grid: int,
        patch_size: int,
        latent_tokens: int,
        code_width: int,
        text: tuple[int, int] | None,
    ):
        super().__init__(size, grid * grid, latent_tokens, text)
        self.patch_embed = nn.Conv2d(3, size["width"], patch_size, stride=patch_size)
        self.conv_out = nn.Conv2d(size["width"], code_width, 1)

    def forward(self, pixels: Tensor, latent_tokens: Tensor, text: Tensor | None) -> Tensor:
        patches = self.patch_embed(pixels).flatten(2).transpose(1, 2)
        return self.ln_post(self.read(patches, latent_tokens.expand(len(pixels), -1, -1), text)[1])

    def project(self, latents: Tensor) -> Tensor:
        """Z_1D (B, N, D) -> what is quantised, (B, N, d)."""
        return F.linear(latents, self.conv_out.weight.flatten(1), self.conv_out.bias)


class Decoder(ReadingTransformer):
    """Entries of the codebook (B, N, d) -> pixels (B, 3, S, S), about [0, 1], not clamped."""

    def __init__(
        self,
        size: TransformerSize,
        grid: int,
        patch_size: int,
        latent_tokens: int,
        code_width: int,
        text: tuple[int, int] | None,
    ):
        super().__init__(size, grid * grid, latent_tokens, text)
        self.grid, self.patch_size = grid, patch_size
        self.decoder_embed = nn.Linear(code_width, size["width"])
        self.mask_token = learned(1, 1, size["width"])
        self.ffn = nn.Sequential(nn.Conv2d(size["width"], 3 * patch_size**2, 1))
        self.conv_out = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, vectors: Tensor, text: Tensor | None) -> Tensor:
        grid, patch = self.grid, self.patch_size
        masks = self.mask_token.expand(len(vectors), grid * grid, -1)
        x = self.ln_post(self.read(masks, self.decoder_embed(vectors), text)[0])
        x = x.transpose(1, 2).unflatten(2, (grid, grid))  # (B, D, G, G)
        x = self.ffn(x).unflatten(1, (patch, patch, 3))  # (B, p1, p2, 3, G, G)
        return self.conv_out(x.permute(0, 3, 4, 1, 5, 2).reshape(len(x), 3, grid * patch, grid * patch))


# ---- the model --------------------------------------------------------------------------------------------------


class ConceptTok(nn.Module):
    """The tokenizer and its losses. `forward` is the training path, `encode` and `decode` are what others use.

    `concept_head` is there only with `concepts`, their number; `discriminator` and `lecam` only with `gan_start_step`.
    The frozen networks of the perceptual loss are in no state dict and are read at first use.
    """

    TRAINING_ONLY = ("discriminator.", "lecam.")  # prefixes of what is not part of the tokenizer

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        latent_tokens: int,
        codebook_size: int,
        code_width: int,
        encoder: TransformerSize,
        decoder: TransformerSize,
        text: Literal["none", "encoder", "decoder"],
        text_width: int | None,
        text_tokens: int | None,
        concepts: int | None,
        clustering: bool,
        commitment: float,
        perceptual: Literal["lpips+convnext", "lite2", "none"],
        loss_weights: LossWeights,
        gan_start_step: int | None,
        discriminator: DiscriminatorSize | None,
        init_std: float = 0.02,
    ):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"image side {image_size} is not divisible by patch side {patch_size}")
        if text not in ("none", "encoder", "decoder"):
            raise ValueError(f"text is read by {text!r}; choose none, encoder or decoder")
        if text != "none" and None in (text_width, text_tokens):
            raise ValueError("a tokenizer with text needs the width of its features and their number of tokens")
        if gan_start_step is not None and discriminator is None:
            raise ValueError("a GAN start step needs the size of a discriminator")
        self.text, self.vocabulary, self.tokens = text, codebook_size, latent_tokens
        self.commitment, self.loss_weights, self.gan_start_step = commitment, dict(loss_weights), gan_start_step
        self.perceptual_loss = perceptual_loss(perceptual, loss_weights["perceptual"])
        shape, read = (image_size // patch_size, patch_size, latent_tokens, code_width), (text_tokens, text_width)
        self.encoder = Encoder(encoder, *shape, read if text == "encoder" else None)
        # DEPARTS: TA-TiTok's official code makes its decoder after the initialisation, so that it keeps PyTorch's; here
        # it is initialised as TiTok's.
        self.decoder = Decoder(decoder, *shape, read if text == "decoder" else None)
        self.latent_tokens = learned(latent_tokens, encoder["width"])
        self.concept_head = None if concepts is None else nn.Linear(encoder["width"], concepts)
        for module in self.modules():  # DECISION (D8): the concept head as any linear layer
            init_layers(module, init_std)
        # DECISION (D13): the paper says "8192 x 64" and cites TA-TiTok: its codebook, without unit lengths.
        self.quantize = VectorQuantizer(codebook_size, code_width, clustering=clustering)
        if gan_start_step is not None:
            # DECISION (D9): the paper says "PatchGAN": TA-TiTok's.
            self.discriminator, self.lecam = BlurDiscriminator(**discriminator), LeCam()

    # ---- use ----------------------------------------------------------------------------------------------------

    def latents(self, images: Tensor, text: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1], prompts (B, T, W) where the encoder reads them -> Z_1D (B, N, D)."""
        return self.encoder((images + 1) / 2, self.latent_tokens, text)

    def encode(self, images: Tensor, *, text: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> codes int64 (B, N). Nothing is drawn: `rng` is not used.

        `text`, features (B, T, W) of the prompts, is needed if the encoder reads it (ValueError) and else not used.
        """
        return self.quantize(self.encoder.project(self.latents(images, text))).codes

    def decode(self, codes: Tensor, text: Tensor | None = None) -> Tensor:
        """Codes int64 (B, N) -> images (B, 3, S, S), about [-1, 1], not clamped.

        `text`, features (B, T, W) of the prompts, is needed if the decoder reads it (ValueError) and else not used.
        """
        return 2 * self.decoder(self.quantize.lookup(codes), text) - 1

    def concept_logits(self, images: Tensor, text: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1], prompts (B, T, W) -> logits (B, C). Raises ValueError without a head."""
        if self.concept_head is None:
            raise ValueError("this tokenizer was built without a concept head")
        return self.name_concepts(self.latents(images, text))

    def name_concepts(self, latents: Tensor) -> Tensor:
        """z = phi(mean of Z_1D over its tokens): (B, N, D) -> logits (B, C). No code, no decoder takes part."""
        return self.concept_head(latents.mean(dim=1))

    # ---- training -----------------------------------------------------------------------------------------------

    def forward(self, images: Tensor, text: Tensor | None = None) -> Reconstruction:
        """Images (B, 3, S, S) in [-1, 1], prompts (B, T, W) where they are read -> reconstruction in [0, 1]."""
        latents = self.latents(images, text)
        quantized = self.quantize(self.encoder.project(latents))
        return Reconstruction(self.decoder(quantized.vectors, text), latents, quantized)

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple]:
        """Weighted terms of the autoencoder's update, then, once the GAN is on, of the discriminator's.

        With the first come, to be watched, usage and perplexity of the codebook in these images. The first group must
        have been stepped before the second is asked for. batch["images"] (B, 3, S, S) in [-1, 1]; "text" (B, T, W)
        where prompts are read; "concepts" int64 (B, K), filled up with -1, for the head. Losses are float32, of pixels
        in [0, 1]. Nothing is drawn: `rng` is not used.
        """
        images = batch["images"]
        output = self(images, batch.get("text"))
        adversarial = self.gan_start_step is not None and step >= self.gan_start_step
        weights, full_precision = self.loss_weights, torch.autocast(images.device.type, enabled=False)
        real, fake = (images.float() + 1) / 2, output.pixels.float()
        quantized = output.quantized
        logits = None if self.concept_head is None else self.name_concepts(output.latents)
        with full_precision:
            terms = {"mse": weights["mse"] * F.mse_loss(fake, real)}
            if self.perceptual_loss is not None:
                terms["perceptual"] = weights["perceptual"] * self.perceptual_loss(images.float(), 2 * fake - 1)
            pulled = self.commitment * quantized.commitment + quantized.codebook
            terms["quantizer"] = weights["quantizer"] * pulled
            if adversarial:
                terms["gan"] = weights["gan"] * generator_loss(self.discriminator, fake)
            if logits is not None:
                terms["concept"] = weights["concept"] * concept_loss(logits, batch["concepts"])
        yield "autoencoder", terms, codebook_health(quantized.codes, self.vocabulary)
        if adversarial:
            # The discriminator's means are those of one micro-batch, as they are of one process in the official
            # code; LeCam's running means move by the whole batch.
            with full_precision:
                judged = self.discriminator(real), self.discriminator(fake.detach())
                terms = {"hinge": hinge_loss(*judged), "lecam": weights["lecam"] * self.lecam(*judged)}
            yield "discriminator", terms

    def collected(self, group: str) -> dict[str, Tensor]:
        """What `after_backward` needs of each micro-batch: see VectorQuantizer.collected."""
        return self.quantize.collected() if group == "autoencoder" else {}

    def after_backward(self, group: str, collected: dict[str, Tensor]) -> None:
        """Move unused codes to latents, by what all micro-batches collected."""
        if collected:
            self.quantize.renew(**collected)

    def freeze_encoder(self) -> None:
        """Raises ValueError: none of the three papers' one-stage tokenizers trains its decoder alone."""
        raise ValueError("ConceptTok has no stage in which the decoder is trained alone; remove it from the recipe")

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder", and "discriminator" where there is one."""
        return adversarial_groups(self)

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Vectors, norms, tokens, positions, the codebook and everything called an embedding (official code)."""
        return spared_from_decay(name, parameter)


def build(spec: dict) -> ConceptTok:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of ConceptTok."""
    return ConceptTok(**spec)
