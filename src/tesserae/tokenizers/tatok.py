"""TaTok ("Mutual Enhancement Between Global Tokens and Patch Tokens", arXiv 2605.16384): global tokens beside patches,
of which every image keeps only those that add something to them.

Patches and k learned queries pass through one encoder; both are rounded to unit vectors of their own codebook; Dynamic
Token Filtering (tatok_filtering.py) chooses the patches; the decoder gets the others as one mask token. There is no
official code: layers are those of TiTok, on which the paper's generator builds, settings those of Hita (arXiv
2507.02358), from which it takes its own. Left out are the alternative score by a prediction head, and App. B.4.

Shapes: B images of side S in [-1, 1], G x G = M patches in raster order, k global tokens, D width, d width of a code,
N kept patches of an image, K entries of each codebook.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.encoders import dinov2_registers
from tesserae.losses.adversarial import (
    DiscriminatorSize,
    PatchDiscriminator,
    adversarial_groups,
    discriminator_loss,
    init_pix2pix,
)
from tesserae.losses.non_saturating import generator_loss
from tesserae.losses.perceptual import perceptual_loss
from tesserae.nn.clip_blocks import Block, init_layers, learned
from tesserae.nn.conv_autoencoder import ConvDecoder, ConvEncoder
from tesserae.nn.positions import placed
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.vector import VectorQuantizer, nearest, straight_through
from tesserae.tokenizers import tatok_filtering as dtf

INIT_STD = 0.02
MOMENTUM = 0.99  # of the running epsilon (D18)
SETTLING_ROUNDS = 40  # of bisection for the epsilon that is kept (D18)
LENGTHS = ("epsilon", "budget", "all", "rest", "truncated")
NO_CODE = -1  # in the place of a patch that is not kept


class LossWeights(TypedDict):
    reconstruction: float
    commitment: float  # lambda_1
    glob: float  # lambda_2
    perceptual: float
    gan: float


class Filtering(TypedDict):
    """How patches are chosen; see `TaTok` for `length`."""

    length: Literal["epsilon", "budget", "all", "rest", "truncated"]
    epsilon: float | None
    budget: float | None
    threshold: float
    order: Literal["score", "random", "uniform", "first", "last"]
    complexity: dtf.Complexity
    straight_through: bool
    settling_images: int | None  # behind the epsilon of a budget that is kept


class ConvSize(TypedDict):
    channels: int
    multipliers: Sequence[int]
    res_blocks: int


class Encoded(NamedTuple):
    residual: Tensor  # (B, k + M, D): H, before the last norm
    global_tokens: Tensor  # (B, k, D)
    patches: Tensor  # (B, M, D)


class Quantized(NamedTuple):
    vectors: Tensor  # float32 (B, n, d): entries of unit length, whose gradient goes to what was quantised
    codes: Tensor  # int64 (B, n)
    distances: Tensor  # (B, n): of each token, codebook loss and weighted commitment loss, mean over d


class Filtered(NamedTuple):
    kept: Tensor  # bool (B, M)
    scores: Tensor | None  # (B, M); None where all patches, or any, are kept
    ranking: dtf.Ranking | None


class Reconstruction(NamedTuple):
    images: Tensor  # (B, 3, S, S), about [-1, 1], not clamped
    global_embeddings: Tensor | None  # (B, k, D): of the rounded global tokens, if there are any
    patches: Quantized
    global_tokens: Quantized | None
    filtered: Filtered


# ---- layers -----------------------------------------------------------------------------------------------------


class Quantizer(VectorQuantizer):
    """A codebook of directions between two linear maps: tokens (B, n, D) -> d values, and entries -> (B, n, D)."""

    def __init__(self, size: int, width: int, outer: int, commitment: float):
        super().__init__(size, width, clustering=False, l2=True)
        self.add_module("in", nn.Linear(outer, width))  # a word of Python's: no attribute
        self.out = nn.Linear(width, outer)
        self.commitment = commitment

    def of(self, tokens: Tensor) -> Quantized:
        """The entries nearest to tokens (B, n, D) of any floating type; compared in float32."""
        values = self.get_submodule("in")(tokens)
        with torch.autocast(tokens.device.type, enabled=False):
            directions = F.normalize(values.float(), dim=2)
            codes = nearest(directions, self.entries())
            chosen = self.lookup(codes)
            # DECISION (D14): printed without stop-gradients; split as in every VQ tokenizer that the paper compares.
            pulls = (chosen - directions.detach()).square(), (directions - chosen.detach()).square()
            distances = (pulls[0] + self.commitment * pulls[1]).mean(dim=2)
            return Quantized(straight_through(directions, chosen), codes, distances)


def mean_over(values: Tensor, there: Tensor) -> Tensor:
    """Of values (B, n), where bool (B, n) says so: 0-d."""
    return (values * there).sum() / there.sum()


def use_of(codes: Tensor, there: Tensor, vocabulary: int) -> dict[str, Tensor]:
    """Of codes (B, n), where bool (B, n) says so: the fraction of entries that occur, and their perplexity; 0-d."""
    ones = there.flatten().float()
    frequency = ones.new_zeros(vocabulary).scatter_add_(0, codes.flatten(), ones) / ones.sum()
    return {"usage": (frequency > 0).float().mean(), "perplexity": torch.special.entr(frequency).sum().exp()}


def check_filtering(filtering: Filtering, layout: str, global_tokens: int, patches: int) -> None:
    """ValueError for what cannot be: a budget out of reach, a loss that is none, more tokens than slots."""
    epsilon, budget, all_tokens = filtering["epsilon"], filtering["budget"], global_tokens + patches
    length, order = filtering["length"], filtering["order"]
    if length not in LENGTHS or order not in dtf.ORDERS or layout not in ("grid", "literal"):
        raise ValueError(f"unknown length {length!r}, order {order!r} or layout {layout!r}")
    if length == "epsilon" and (epsilon is None or not 0 <= epsilon < 1):
        raise ValueError(f"filtering.epsilon: {epsilon} is not in [0, 1)")
    if length == "budget" and (budget is None or not global_tokens + 1 <= budget <= all_tokens):
        raise ValueError(f"filtering.budget: {budget} tokens are not between {global_tokens + 1} and {all_tokens}")
    if length == "rest" and global_tokens >= patches:
        raise ValueError(f"global_tokens: {global_tokens} leave none of {patches} patches to the length rest")
    if filtering["threshold"] and length != "epsilon":
        raise ValueError("filtering.threshold belongs to the length epsilon")
    # The most patches that scores can keep are all but epsilon of them: where all scores are equal.
    most = {"rest": 0.0, "budget": 0.0 if budget is None else budget - patches}
    most["epsilon"] = global_tokens if filtering["threshold"] else global_tokens - (epsilon or 0.0) * patches
    if layout == "literal" and most.get(length, global_tokens) > 0:
        raise ValueError(
            f"layout: {global_tokens} global tokens and the patches of some images do not fit into the {patches} slots "
            "of the literal layout; choose the grid, a larger epsilon or fewer global tokens"
        )


# ---- the model --------------------------------------------------------------------------------------------------


class TaTok(nn.Module):
    """The tokenizer and its losses. `forward` is the training path, `encode` and `decode` are what others use.

    An image's row of codes is, in the layout "grid", its k global codes and then a place for each of the M patches,
    NO_CODE where it is not kept; in the layout "literal" its k global codes and its N kept ones, then NO_CODE up to M.

    `filtering["length"]` says how many patches are kept: "epsilon", by the score (S1 to S8); "budget", the same with an
    epsilon that is moved in training until an image has `budget` tokens on average, global ones included; "all";
    "rest", as many as leave M tokens with the global ones; "truncated", in training a random part, at use all.

    `losses` are the three terms of the paper, "literal", or Hita's perceptual and adversarial ones as well, "hita_gan".

    `discriminator` is there only with the latter and `gan_start_step`, `glob_head` only with global tokens, `epsilon`,
    the one that is used, where scores decide. Frozen networks of losses are in no state dict, and read at first use.
    """

    TRAINING_ONLY = ("discriminator.", "glob_head.", "batches")  # prefixes of what is not part of the tokenizer

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        global_tokens: int,
        codebook_size: int,
        patch_code_width: int,
        global_code_width: int,
        encoder: TransformerSize,
        decoder: TransformerSize,
        substrate: Literal["vit", "hita_cnn"],
        network: ConvSize | None,
        layout: Literal["grid", "literal"],
        filtering: Filtering,
        global_target: Literal["thumbnail", "vfm"],
        thumbnail: int,
        commitment: float,
        losses: Literal["literal", "hita_gan"],
        perceptual: Literal["lpips", "lite2", "none"],
        loss_weights: LossWeights,
        gan_start_step: int | None,
        discriminator: DiscriminatorSize | None,
    ):
        super().__init__()
        self.grid, self.patch_size, self.layout = image_size // patch_size, patch_size, layout
        self.patches, self.global_tokens = self.grid**2, global_tokens
        if image_size % patch_size:
            raise ValueError(f"image_size: {image_size} is not divisible by patch_size {patch_size}")
        if encoder["width"] != decoder["width"]:
            raise ValueError(f"an encoder of width {encoder['width']} needs a decoder of it, not {decoder['width']}")
        if (substrate == "hita_cnn") != (network is not None):
            raise ValueError("`network`, the size of the convolutions, belongs to the substrate hita_cnn")
        if network is not None and 2 ** (len(network["multipliers"]) - 1) != patch_size:
            raise ValueError(f"network.multipliers: so many levels do not make patches of {patch_size} pixels")
        if gan_start_step is not None and discriminator is None:
            raise ValueError("a GAN start step needs the size of a discriminator")
        check_filtering(filtering, layout, global_tokens, self.patches)
        self.vocabulary = codebook_size
        self.tokens = self.patches + (global_tokens if layout == "grid" else 0)  # of an image at most
        self.filtering, self.loss_weights = dict(filtering), dict(loss_weights)
        # DECISION (D16): the paper prints three terms, "literal"; an rFID near 1.5 takes the two more of Hita.
        if losses == "literal":
            perceptual, gan_start_step = "none", None
        self.gan_start_step = gan_start_step
        self.perceptual_loss = perceptual_loss(perceptual, loss_weights["perceptual"])
        self.target, self.thumbnail = global_target, thumbnail
        width = encoder["width"]
        self.enc_pos = learned(self.patches, width)
        self.enc = nn.ModuleList(Block(width, encoder["heads"]) for _ in range(encoder["blocks"]))
        self.enc_ln_pre, self.enc_ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q_patch = Quantizer(codebook_size, patch_code_width, width, commitment)
        self.mask_token, self.dec_pos = learned(width), learned(self.patches, width)
        self.dec = nn.ModuleList(Block(width, decoder["heads"]) for _ in range(decoder["blocks"]))
        self.dec_ln_pre, self.dec_ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        if global_tokens:
            self.queries = learned(global_tokens, width)  # they need no position: each is one of its own
            self.q_glob = Quantizer(codebook_size, global_code_width, width, commitment)
            if layout == "grid":
                self.dec_gpos = learned(global_tokens, width)
            values = 3 * thumbnail**2 if global_target == "thumbnail" else dinov2_registers.WIDTH
            head = nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, values)
            self.glob_head = nn.Sequential(*head)
        # DECISION (D03): the paper describes a plain vision transformer; its settings are those of Hita, which has
        # convolutions around the transformers and DINOv2 inside.
        if network is None:
            self.patch_embed = nn.Conv2d(3, width, patch_size, stride=patch_size)
            self.to_pixels = nn.Linear(width, 3 * patch_size**2)
            self.conv_out = nn.Conv2d(3, 3, 3, padding=1)
        for module in self.modules():
            init_layers(module, INIT_STD)
        if network is None:
            nn.init.zeros_(self.conv_out.weight)  # DECISION (D13): the head begins as its linear layer
        else:  # which keeps PyTorch's first weights, as in Hita
            size = network["channels"], network["multipliers"], network["res_blocks"], width
            self.patch_embed, self.to_image = ConvEncoder(*size, True), ConvDecoder(*size, True)
        if filtering["length"] in ("epsilon", "budget"):
            self.register_buffer("epsilon", torch.tensor(float(filtering["epsilon"] or 0.0)))
        if filtering["length"] == "budget":
            self.register_buffer("batches", torch.zeros(()))  # how many moved the epsilon
        if gan_start_step is not None:
            self.discriminator = PatchDiscriminator(**discriminator)
            init_pix2pix(self.discriminator)

    @torch.no_grad()
    def place_tokens(self) -> None:
        """Positions of patches start as those of a grid, and as large as what they are added to."""
        for positions in (self.enc_pos, self.dec_pos):
            positions.copy_(placed(positions.shape[1], self.patches))

    # ---- use ----------------------------------------------------------------------------------------------------

    def encoded(self, images: Tensor) -> Encoded:
        """Images (B, 3, S, S) in [-1, 1] -> tokens before and after the last norm, global ones first."""
        x = self.patch_embed(images).flatten(2).transpose(1, 2) + self.enc_pos
        if self.global_tokens:
            x = torch.cat([self.queries.expand(len(x), -1, -1), x], dim=1)
        x = self.enc_ln_pre(x).transpose(0, 1)
        for block in self.enc:
            x = block(x)
        residual = x.transpose(0, 1)
        z = self.enc_ln_post(residual)
        return Encoded(residual, z[:, : self.global_tokens], z[:, self.global_tokens :])

    def filtered(
        self, images: Tensor, residual: Tensor, rng: torch.Generator | None = None, order: str | None = None
    ) -> Filtered:
        """S1 to S9, and Figure 5's strategies: which patches of images are kept, by H (B, k + M, D).

        What is random is drawn from `rng`, and without it always alike for the same image. `order` takes the place of
        the recipe's.
        """
        settings, many = self.filtering, (len(images), self.patches)
        if settings["length"] == "truncated" and rng is not None:
            return Filtered(dtf.truncated(*many, rng), None, None)
        if settings["length"] in ("all", "truncated"):
            return Filtered(torch.ones(many, dtype=torch.bool, device=images.device), None, None)
        scores = self._scored(images, residual)
        ranking = dtf.rank(scores.detach())
        if settings["length"] == "rest":  # DECISION (D25): of Figure 3's second setting the paper names the number
            lengths = torch.full(many[:1], self.patches - self.global_tokens, device=images.device)
        else:
            lengths = dtf.lengths(ranking.cumulative, self.epsilon, settings["threshold"])

        def draw() -> Tensor:
            return dtf.permutations_of(images, self.patches) if rng is None else dtf.permutations(*many, rng)

        return Filtered(dtf.kept(ranking, lengths, order or settings["order"], draw), scores, ranking)

    def _scored(self, images: Tensor, residual: Tensor) -> Tensor:
        """S1 to S4: scores (B, M) of patches, by H (B, k + M, D)."""
        with torch.autocast(images.device.type, enabled=False):
            # DECISION (D11): no gradient through the choice, but for the switch `straight_through`.
            h = residual.float() if self.filtering["straight_through"] else residual.detach().float()
            split = h[:, self.global_tokens :], h[:, : self.global_tokens]
            return dtf.scores(*split, images.float(), self.filtering["complexity"])

    def encode(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> codes int64 (B, `tokens`), NO_CODE where an image has none.

        `rng` draws afresh what is random in the choice of patches, if anything is.
        """
        encoded = self.encoded(images)
        return self._codes(encoded, self.filtered(images, encoded.residual, rng).kept)

    def _codes(self, encoded: Encoded, kept: Tensor) -> Tensor:
        """Tokens, of whose patches bool (B, M) are kept -> codes int64 (B, `tokens`)."""
        codes = self.q_patch.of(encoded.patches).codes.masked_fill(~kept, NO_CODE)
        if self.layout == "literal":
            codes = _to_front(codes, kept)[:, : self.patches - self.global_tokens]
        return torch.cat([self.q_glob.of(encoded.global_tokens).codes, codes], dim=1) if self.global_tokens else codes

    def lengths(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, `tokens`) -> how many tokens each image has, global ones included, int64 (B,)."""
        return (codes != NO_CODE).sum(dim=1)

    @property
    def places(self) -> int:
        """How many of a row's places, at its end, are patches of the grid: M, and 0 where the layout packs them."""
        return self.patches if self.layout == "grid" else 0

    @property
    def codebooks(self) -> dict[str, slice]:
        """Which part of a row is of which codebook."""
        k = self.global_tokens
        return {**({"global": slice(k)} if k else {}), "patch": slice(k, None)}

    def all_codes(self, images: Tensor) -> Tensor:
        """As `encode`, without leaving out a patch; in the layout "grid"."""
        kept = torch.ones(len(images), self.patches, dtype=torch.bool, device=images.device)
        return self._codes(self.encoded(images), kept)

    def encode_by(self, images: Tensor, order: str) -> Tensor:
        """As `encode`, with as many patches of every image, but by another order, one of ORDERS."""
        encoded = self.encoded(images)
        return self._codes(encoded, self.filtered(images, encoded.residual, order=order).kept)

    def scores(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> float32 (B, M), at least 0: what each patch adds to the global tokens."""
        return self._scored(images, self.encoded(images).residual)

    def keeps(self, scores: Tensor, epsilon: float) -> Tensor:
        """Which patches of scores (B, M) an information loss rate leaves: bool (B, M)."""
        ranking = dtf.rank(scores)
        return dtf.first_of(ranking.order, dtf.lengths(ranking.cumulative, epsilon, self.filtering["threshold"]))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, `tokens`), NO_CODE where there is none -> images (B, 3, S, S), about [-1, 1], not clamped.

        Raises ValueError for rows of another length.
        """
        if codes.shape[1] != self.tokens:
            raise ValueError(
                f"rows of {codes.shape[1]} codes, and this tokenizer reads {self.tokens} (image_size, patch_size, "
                "global_tokens and layout of its recipe): give it the codes of its own recipe"
            )
        there, read = codes != NO_CODE, codes.clamp(min=0)
        vectors = self.q_patch.lookup(read[:, self.global_tokens :])
        of_image = None
        if self.global_tokens:
            of_image = self.q_glob.out(self.q_glob.lookup(read[:, : self.global_tokens]))
        return self.rebuild(of_image, self.q_patch.out(vectors), there[:, self.global_tokens :])

    def rebuild(self, global_embeddings: Tensor | None, embeddings: Tensor, kept: Tensor) -> Tensor:
        """Embeddings (B, k, D) of global tokens and (B, n, D) of patches, of which some are kept, (B, n) -> images.

        In the layout "grid" n = M; in "literal" they come without gaps, the kept ones first, n = M - k.
        """
        # DECISION (D12): the paper concatenates global tokens, kept patches and mask tokens to M in all and says
        # nothing of where a patch belongs: "literal". "grid" puts each in its place, which costs log2 C(M, N) bits.
        x = torch.where(kept[..., None], embeddings, self.mask_token)
        if self.layout == "literal":
            x = x if global_embeddings is None else torch.cat([global_embeddings, x], dim=1)
            x, read = x + self.dec_pos, 0
        else:
            x, read = x + self.dec_pos, self.global_tokens
            if global_embeddings is not None:
                x = torch.cat([global_embeddings + self.dec_gpos, x], dim=1)
        x = self.dec_ln_pre(x).transpose(0, 1)
        for block in self.dec:
            x = block(x)
        return self._pixels(self.dec_ln_post(x.transpose(0, 1)[:, read:]))

    def _pixels(self, x: Tensor) -> Tensor:
        """Tokens of patches (B, M, D) -> images (B, 3, S, S)."""
        if hasattr(self, "to_image"):
            return self.to_image(x.transpose(1, 2).unflatten(2, (self.grid, self.grid)))
        patch = self.patch_size
        x = self.to_pixels(x).unflatten(1, (self.grid, self.grid)).unflatten(3, (patch, patch, 3))
        x = x.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)  # (B, 3, G, p1, G, p2) -> (B, 3, S, S)
        return x + self.conv_out(x)

    # ---- training -----------------------------------------------------------------------------------------------

    def forward(self, images: Tensor, rng: torch.Generator | None = None) -> Reconstruction:
        """Images (B, 3, S, S) in [-1, 1] -> reconstruction from the kept patches; `rng` as in `encode`."""
        residual, global_tokens, patches = self.encoded(images)
        filtered = self.filtered(images, residual, rng)
        quantized, of_image, global_embeddings = self.q_patch.of(patches), None, None
        vectors, kept = quantized.vectors, filtered.kept
        if self.filtering["straight_through"] and filtered.scores is not None:
            mean = filtered.scores.mean(dim=1, keepdim=True)
            relative = filtered.scores / mean.clamp(min=torch.finfo(mean.dtype).tiny)
            vectors = vectors * (1 + relative - relative.detach())[..., None]
        embeddings = self.q_patch.out(vectors)
        if self.layout == "literal":
            fitting = slice(self.patches - self.global_tokens)
            embeddings, kept = _to_front(embeddings, kept)[:, fitting], _to_front(kept, kept)[:, fitting]
        if self.global_tokens:
            of_image = self.q_glob.of(global_tokens)
            global_embeddings = self.q_glob.out(of_image.vectors)
        rebuilt = self.rebuild(global_embeddings, embeddings, kept)
        return Reconstruction(rebuilt, global_embeddings, quantized, of_image, filtered)

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple]:
        """Weighted terms of the autoencoder's update, then, once the GAN is on, of the discriminator's.

        With the first come, to be watched: tokens of an image on average, usage and perplexity of both codebooks in
        these images, and the epsilon of a budget. The first group must have been stepped before the second is asked
        for. batch["images"] (B, 3, S, S) in [-1, 1]; losses are float32. `rng` draws what is random in the choice of
        patches.
        """
        images = batch["images"]
        if step == 0 and self.filtering["length"] == "budget":
            self._start_epsilon(images, rng)
        output = self(images, rng)
        adversarial = self.gan_start_step is not None and step >= self.gan_start_step
        real, fake = images.float(), output.images.float()
        full_precision = torch.autocast(images.device.type, enabled=False)
        with full_precision:
            terms = self.terms(real, output._replace(images=fake), adversarial)
        if self.filtering["length"] == "budget":
            self.seen = output.filtered.ranking.cumulative
        yield "autoencoder", terms, self._watched(output)
        if adversarial:
            with full_precision:
                hinge = discriminator_loss(self.discriminator, real, fake)
            yield "discriminator", {"hinge": self.loss_weights["gan"] * hinge}

    def terms(self, images: Tensor, output: Reconstruction, adversarial: bool) -> dict[str, Tensor]:
        """The autoencoder's loss of float32 images (B, 3, S, S), term by term (Sec. 3.3.4); every one is a mean."""
        weights, global_tokens = self.loss_weights, output.global_tokens
        # DEPARTS: Hita, whose training this follows, adds the squared error a second time.
        terms = {"reconstruction": weights["reconstruction"] * F.mse_loss(output.images, images)}
        pulled = mean_over(output.patches.distances, output.filtered.kept)
        if global_tokens is not None:
            pulled = pulled + global_tokens.distances.mean()
            terms["global"] = weights["glob"] * self._global_loss(images, output.global_embeddings.float())
        terms["commitment"] = weights["commitment"] * pulled
        if self.perceptual_loss is not None:
            terms["perceptual"] = weights["perceptual"] * self.perceptual_loss(images, output.images)
        if adversarial:
            terms["gan"] = weights["gan"] * generator_loss(self.discriminator, output.images)
        return terms

    def _global_loss(self, images: Tensor, embeddings: Tensor) -> Tensor:
        """E[h(G(x) | g)], 0-d, of embeddings (B, k, D)."""
        # DECISION (D15): G is never defined. An upper bound by a Gaussian around a prediction of the whole image at a
        # few pixels, or of what DINOv2 says of it; h itself has no lower bound.
        predicted = self.glob_head(embeddings).mean(dim=1)
        if self.target == "vfm":
            return 1 - F.cosine_similarity(predicted, dinov2_registers.class_token(images), dim=1).mean()
        return F.mse_loss(predicted, F.adaptive_avg_pool2d(images, self.thumbnail).flatten(1))

    @torch.no_grad()
    def _watched(self, output: Reconstruction) -> dict[str, Tensor]:
        kept = output.filtered.kept
        numbers = {"tokens": self.global_tokens + kept.float().sum(dim=1).mean()}
        numbers |= use_of(output.patches.codes, kept, self.vocabulary)
        if output.global_tokens is not None:
            codes = output.global_tokens.codes
            of_image = use_of(codes, torch.ones_like(codes, dtype=torch.bool), self.vocabulary)
            numbers |= {f"global_{name}": value for name, value in of_image.items()}
        if self.filtering["length"] == "budget":
            numbers["epsilon"] = self.epsilon.clone()
        return numbers

    # ---- the epsilon of a budget --------------------------------------------------------------------------------

    def _fitting(self, cumulative: Tensor, rounds: int = dtf.ROUNDS) -> Tensor:
        """The epsilon, 0-d, with which images of `cumulative` (B, M) have the budget's tokens on average."""
        least = self.global_tokens / self.patches if self.layout == "literal" else 0.0  # then all images fit
        return dtf.epsilon_for(cumulative, self.filtering["budget"] - self.global_tokens, least, rounds)

    @torch.no_grad()
    def _start_epsilon(self, images: Tensor, rng: torch.Generator) -> None:
        ranking = self.filtered(images, self.encoded(images).residual, rng).ranking
        self.epsilon.copy_(self._fitting(ranking.cumulative))

    def collected(self, group: str) -> dict[str, Tensor]:
        """What `after_backward` needs of each micro-batch: with a budget, sums of sorted scores (B, M)."""
        moving = group == "autoencoder" and self.filtering["length"] == "budget"
        return {"cumulative": self.seen} if moving else {}

    def after_backward(self, group: str, collected: dict[str, Tensor]) -> None:
        """Move the running epsilon towards the one that fits the whole batch, (micro-batches, B, M)."""
        if collected:
            # DECISION (D18): a running mean of 0.99, which begins as the mean of all so far.
            kept = (self.batches / (self.batches + 1)).clamp(max=MOMENTUM)
            self.epsilon.lerp_(self._fitting(collected["cumulative"].flatten(0, 1)), 1 - kept)
            self.batches += 1

    @torch.no_grad()
    def settle(self, batches: Iterable[dict[str, Tensor]]) -> dict[str, float]:
        """After the last step: fix the epsilon of a budget for good, on training images and with averaged weights.

        Returns it and the tokens that an image has with it on average; nothing where there is no budget.
        """
        if self.filtering["length"] != "budget":
            return {}
        found, images = [], 0
        for batch in batches:
            residual = self.encoded(batch["images"]).residual
            found.append(self.filtered(batch["images"], residual).ranking.cumulative)
            images += len(residual)
            if images >= self.filtering["settling_images"]:
                break
        cumulative = torch.cat(found)
        self.epsilon.copy_(self._fitting(cumulative, SETTLING_ROUNDS))
        tokens = self.global_tokens + dtf.lengths(cumulative, self.epsilon).double().mean()
        return {"settled_epsilon": self.epsilon.item(), "settled_tokens": tokens.item()}

    # ---- what trains --------------------------------------------------------------------------------------------

    def freeze_encoder(self) -> None:
        """Raises ValueError: the paper has no stage in which the decoder is trained alone."""
        raise ValueError("TaTok has no stage in which the decoder is trained alone; remove it from the recipe")

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder", and "discriminator" where there is one."""
        return adversarial_groups(self)

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Vectors, tokens, positions and codebooks. Hita decays nothing at all."""
        return parameter.ndim < 2 or name.endswith(("_pos", "_gpos", "queries", "embedding.weight"))


def _to_front(values: Tensor, kept: Tensor) -> Tensor:
    """Of each image the values that are kept, then the others, each in their order: (B, M) or (B, M, D)."""
    order = kept.int().argsort(dim=1, descending=True, stable=True)
    return values.gather(1, order if values.ndim == 2 else order[..., None].expand_as(values))


def build(spec: dict) -> TaTok:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of TaTok."""
    return TaTok(**spec)
