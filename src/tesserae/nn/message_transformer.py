"""A transformer that reads pieces of an image, rewrites a message of a few tokens, and draws the image from it.

Source: COMiT (arXiv 2602.20731), Sec. 3, and its official code, whose parameter names these are. A sequence is

    [offset 1 | image T | message M | buffer M]

and passes DiT's blocks (arXiv 2212.09748), all tokens through the same attention and feed-forward layer. Two AdaLN
heads condition on the time: one for the image, one for message and buffer; the offset is neither modulated nor gated.
The next message is read off the buffer; the velocity of a noisy image off the image's tokens.

Shapes: B samples, C channels and h x w values of an image (or of its latents), p side of a patch, T = h w / p^2, G the
side of the largest grid in patches, M tokens of a message with d values, D width, N tokens of a sequence.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.attention import Attention
from tesserae.nn.diffusion_transformer import EMBEDDING_STD, MLP_RATIO, plain_norm
from tesserae.nn.feedforward import MLP
from tesserae.nn.modulation import ModulatedLinear, TimestepEmbedder, adaptive_parameters, modulate
from tesserae.nn.positions import sincos_2d
from tesserae.nn.sizes import TransformerSize

TIME_UNIT = 1000.0  # times in [0, 1] are embedded as if they counted steps (official code)

PLACED_BLOCKS, SHARPNESS = 2, 10.0  # of `place_tokens`: found by trial (docs/small_scales.md)

Mask = Literal["causal", "additive_one"]


class Seen(NamedTuple):
    """What the last block leaves, and what the representation layer said on the way."""

    tokens: Tensor  # (B, N, D)
    condition: Tensor  # (B, D) or (1, D), embedded times
    image_states: Tensor  # (B, T, D)
    message_states: Tensor  # (B, M, D), of the message, not of the buffer


def allowed(tokens: int, message: int, device: torch.device | None = None) -> Tensor:
    """Who may attend to whom, bool (N, N): all to offset, image and message; to the buffer only itself, backwards."""
    mask = torch.ones(tokens, tokens, dtype=torch.bool, device=device)
    mask[:, -message:] = False
    mask[-message:, -message:] = torch.ones(message, message, dtype=torch.bool, device=device).tril()
    return mask


def biased(tokens: int, message: int, mask: Mask, device: torch.device | None = None) -> Tensor:
    """What a mask does to logits: of the buffer's rows what is hidden, bool (M, N), or of all rows a term (N, N).

    "causal" is what the paper says. "additive_one" is what the official code does: it adds 1 to the logits of the pairs
    that are allowed, and forbids none.
    """
    may = allowed(tokens, message, device)
    return may.float() if mask == "additive_one" else may[-message:]


class MaskedAttention(Attention):
    """Attention of a sequence whose last rows may be restricted."""

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x (B, N, D) -> (B, N, D). `bias` is of the last rows, as `biased` makes it; others see all before those."""
        q, k, v = self.projected(x)
        if bias is None or len(bias) == x.shape[1]:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(q.dtype))
        else:  # in two parts: most rows need no mask, and so may take the faster kernels
            seen = x.shape[1] - len(bias)
            before = F.scaled_dot_product_attention(q[:, :, :seen], k[:, :, :seen], v[:, :, :seen])
            out = torch.cat([before, F.scaled_dot_product_attention(q[:, :, seen:], k, v, attn_mask=bias)], dim=2)
        return self.proj(out.transpose(1, 2).reshape(x.shape))

    def projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, H, N, D / H)."""
        B, N, D = x.shape
        return self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4).unbind(0)

    def logits(self, x: Tensor) -> Tensor:
        """Scaled products of queries and keys, before mask and softmax: x (B, N, D) -> (B, H, N, N)."""
        q, k, _ = self.projected(x)
        return q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5


class Block(nn.Module):
    """A DiT block with two AdaLN heads: `x_` for the image, `r_` for message and buffer."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = plain_norm(width), plain_norm(width)
        self.attn = MaskedAttention(width, heads)
        self.mlp = MLP(width, MLP_RATIO * width, approximate="tanh")
        self.x_adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.r_adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def conditioned(self, condition: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Shift, scale and gate of the attention, then those of the feed-forward layer: of image and of message."""
        of_image = adaptive_parameters(self.x_adaLN_modulation, condition, 6)
        return of_image, adaptive_parameters(self.r_adaLN_modulation, condition, 6)

    def forward(self, x: Tensor, sizes: list[int], condition: Tensor, bias: Tensor | None) -> Tensor:
        """x (B, N, D) -> (B, N, D); `condition` (B, D), or (1, D) for all; `bias` as in `MaskedAttention`."""
        of_image, of_message = self.conditioned(condition)
        read = _modulated(self.norm1(x), sizes, of_image[:2], of_message[:2])
        x = _gated(x, self.attn(read, bias), sizes, of_image[2], of_message[2])
        read = _modulated(self.norm2(x), sizes, of_image[3:5], of_message[3:5])
        return _gated(x, self.mlp(read), sizes, of_image[5], of_message[5])

    def attention_logits(self, x: Tensor, sizes: list[int], condition: Tensor) -> Tensor:
        """Of its attention, when it reads x (B, N, D): (B, H, N, N)."""
        of_image, of_message = self.conditioned(condition)
        return self.attn.logits(_modulated(self.norm1(x), sizes, of_image[:2], of_message[:2]))


def _modulated(x: Tensor, sizes: list[int], of_image: tuple[Tensor, ...], of_message: tuple[Tensor, ...]) -> Tensor:
    offset, image, message = x.split(sizes, dim=1)
    return torch.cat([offset, modulate(image, *of_image), modulate(message, *of_message)], dim=1)


def _gated(x: Tensor, added: Tensor, sizes: list[int], of_image: Tensor, of_message: Tensor) -> Tensor:
    offset, image, message = added.split(sizes, dim=1)
    return x + torch.cat([offset, of_image * image, of_message * message], dim=1)


def smoothed(kernels: Tensor) -> Tensor:
    """Kernels (D, C, p, p) without most of their fine structure: a coefficient of the cosine transform of frequencies
    (a, b), in half periods of a patch, is divided by 1 + a^2 + b^2.
    """
    side = kernels.shape[-1]
    frequencies = torch.arange(side, device=kernels.device)
    basis = torch.cos(math.pi / side * frequencies[:, None] * (frequencies + 0.5))
    basis = F.normalize(basis.to(kernels.dtype), dim=1)
    damping = 1 + frequencies[:, None] ** 2 + frequencies**2
    return basis.T @ (basis @ kernels @ basis.T / damping) @ basis


def place_reader(table: Tensor, size: int) -> Tensor:
    """A map (h, D) for queries and keys of h = `size` values that are alike where positions of a table (N, D) are.

    Its rows are the table's principal directions, so that each weighs the same, up to those that hardly differ.
    """
    centred = table - table.mean(dim=0)
    _, scales, directions = torch.linalg.svd(centred, full_matrices=False)
    weights = SHARPNESS * scales / (scales**2 + 1)
    found = torch.zeros(size, table.shape[1], dtype=table.dtype, device=table.device)
    kept = min(size, int((scales > 1e-3 * scales[0]).sum()))
    found[:kept] = weights[:kept, None] * directions[:kept]
    return found


class NormedLinear(nn.Module):
    """Norm without parameters, Linear: (B, N, D) -> (B, N, outputs)."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.norm, self.linear = plain_norm(width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(x))


class PatchEmbedding(nn.Module):
    """Images (B, C, h, w) -> tokens (B, T, D), row by row."""

    def __init__(self, channels: int, patch: int, width: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width))


class MessageTransformer(nn.Module):
    """The network: `read` a piece of an image, then `message` or `velocity` of what was seen.

    `y_pos_offset` and the offset head `c_final_layer` are in the official network and in no loss: they are kept under
    their names and never trained.
    """

    def __init__(
        self,
        size: TransformerSize,
        *,
        channels: int,  # C
        grid: int,  # G
        patch: int,  # p
        message_tokens: int,  # M
        message_width: int,  # d
        representation_layer: int,  # counted from 0: states are those after this block
        mask: Mask,
        gate_start: float,  # bias of the blocks' gates; 0 in the paper
    ):
        super().__init__()
        width, blocks = size["width"], size["blocks"]
        if mask not in ("causal", "additive_one"):
            raise ValueError(f"unknown mask {mask!r}; known: causal, additive_one")
        if not 0 <= representation_layer < blocks:
            raise ValueError(f"representation layer {representation_layer} of {blocks} blocks, counted from 0")
        self.grid, self.patch, self.channels, self.mask = grid, patch, channels, mask
        self.message_tokens, self.representation_layer = message_tokens, representation_layer
        self.register_buffer("pos_embed", sincos_2d(width, grid, grid)[None])  # saved, never trained
        self.y_pos_offset = nn.Parameter(torch.randn(1, 1, width), requires_grad=False)
        self.r_pos_embed = nn.Parameter(torch.randn(1, message_tokens, width))
        self.c_pos_embed = nn.Parameter(torch.randn(1, 1, width))
        self.r_to_token = nn.Parameter(torch.randn(1, 1, width))
        self.r_to_pos_embed = nn.Parameter(torch.randn(1, message_tokens, width))
        self.x_embedder = PatchEmbedding(channels, patch, width)
        self.r_embedder, self.c_embedder = _mlp(message_width, width), _mlp(2, width)
        self.t_embedder = TimestepEmbedder(width)
        self.blocks = nn.ModuleList(Block(width, size["heads"]) for _ in range(blocks))
        self.final_layer = ModulatedLinear(width, patch * patch * channels, norm=lambda: plain_norm(width))
        self.r_final_layer, self.c_final_layer = NormedLinear(width, message_width), NormedLinear(width, 2)
        self.c_final_layer.requires_grad_(False)
        self.initialise(gate_start)

    def initialise(self, gate_start: float) -> None:
        """Official code: Xavier-uniform linear maps, small time embedding, blocks and velocity that start as zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.x_embedder.proj.weight.view(len(self.x_embedder.proj.weight), -1))
        nn.init.zeros_(self.x_embedder.proj.bias)
        for layer in (0, 2):
            nn.init.normal_(self.t_embedder.mlp[layer].weight, std=EMBEDDING_STD)
        for block in self.blocks:
            for head in (block.x_adaLN_modulation[1], block.r_adaLN_modulation[1]):
                nn.init.zeros_(head.weight)
                for gate in (2, 5):
                    nn.init.constant_(head.bias.view(6, -1)[gate], gate_start)
        nn.init.zeros_(self.final_layer.adaLN_modulation[1].weight)
        nn.init.zeros_(self.final_layer.linear.weight)

    @torch.no_grad()
    def place_tokens(self) -> None:
        """First weights of a narrow network, after those of nn/first_weights.py, where messages have a place at first.

        With the paper's first weights what a message says of an image is a hundredth of what it says anyhow: all images
        share a code, and 16 tokens say the same. So here the positions of message and buffer start as those of the
        patches; all buffer tokens as nearly nothing, to which what they read is added; the first blocks' attention as
        one from equal to equal positions (mimetic initialisation, arXiv 2305.09828); and kernels of patches as smooth
        ones, which noise hardly passes. All of it is learned from then on.
        """
        width, patches = self.pos_embed.shape[2], self.grid**2
        nearest = ((torch.arange(self.message_tokens) + 0.5) * patches / self.message_tokens).long()
        places = self.pos_embed[:, nearest.to(self.pos_embed.device)]
        for positions in (self.r_pos_embed, self.r_to_pos_embed):
            positions.mul_(EMBEDDING_STD).add_(places)  # a little apart, if several are of one patch
        self.r_to_token.mul_(EMBEDDING_STD)
        self.x_embedder.proj.weight.copy_(smoothed(self.x_embedder.proj.weight))
        for block in self.blocks[:PLACED_BLOCKS]:
            size = width // block.attn.heads
            found = place_reader(self.pos_embed[0], size)
            queries, keys, _ = block.attn.qkv.weight.view(3, block.attn.heads, size, width)
            queries.copy_(found)
            keys.copy_(found)

    # ---- what is read ---------------------------------------------------------------------------------------------

    def positions(self, rows: int, columns: int) -> Tensor:
        """Of a piece of rows x columns patches, wherever it is from: the table's upper left corner, (1, T, D)."""
        return self.pos_embed.unflatten(1, (self.grid, self.grid))[:, :rows, :columns].flatten(1, 2)

    def embedded_image(self, images: Tensor) -> Tensor:
        """Images (B, C, h, w), of at most G x G patches -> (B, T, D)."""
        rows, columns = (side // self.patch for side in images.shape[-2:])
        return self.x_embedder(images) + self.positions(rows, columns)

    def embedded_message(self, vectors: Tensor) -> Tensor:
        """Vectors of a message's codes (B, M, d) -> (B, M, D)."""
        return self.r_embedder(vectors) + self.r_pos_embed

    def embedded_offset(self, offsets: Tensor) -> Tensor:
        """Offsets (B, 2), to the right and down, in halves of the image's side -> (B, 1, D)."""
        # DEPARTS: the paper's "linear projection" is a network of two layers in its code.
        return self.c_embedder(offsets[:, None]) + self.c_pos_embed

    def read(self, image: Tensor, t: Tensor, offset: Tensor, message: Tensor, *, buffer: bool) -> Seen:
        """Embedded image (B, T, D), offset (B, 1, D) and message (B, M, D) at times t (B,), or (1,) for all.

        Without `buffer` no message can be read off; with a causal mask nothing else is another for it.
        """
        condition = self.t_embedder(TIME_UNIT * t)
        tokens, sizes = self.sequence(image, offset, message, buffer=buffer)
        bias = biased(tokens.shape[1], self.message_tokens, self.mask, tokens.device) if buffer else None
        for number, block in enumerate(self.blocks):
            tokens = block(tokens, sizes, condition, bias)
            if number == self.representation_layer:
                states = tokens.split([1, image.shape[1], self.message_tokens, self.message_tokens * buffer], dim=1)
        return Seen(tokens, condition, states[1], states[2])

    def sequence(self, image: Tensor, offset: Tensor, message: Tensor, *, buffer: bool) -> tuple[Tensor, list[int]]:
        """The tokens (B, N, D) of a pass, and how many are of offset, image, and message with buffer."""
        parts = [offset, image, message]
        if buffer:
            parts.append((self.r_to_token + self.r_to_pos_embed).expand(len(image), -1, -1))
        return torch.cat(parts, dim=1), [1, image.shape[1], self.message_tokens * (1 + buffer)]

    # ---- what is said ---------------------------------------------------------------------------------------------

    def message(self, seen: Seen) -> Tensor:
        """The next message before it is rounded, float32 (B, M, d): rounding in half precision would change codes."""
        with torch.autocast(seen.tokens.device.type, enabled=False):
            return self.r_final_layer(seen.tokens[:, -self.message_tokens :].float())

    def velocity(self, seen: Seen) -> Tensor:
        """What is said of each value of a square image: (B, C, h, w)."""
        count = seen.image_states.shape[1]
        rows = math.isqrt(count)
        values = self.final_layer(seen.tokens[:, 1 : 1 + count], seen.condition)  # (B, T, p p C)
        squares = values.unflatten(2, (self.patch, self.patch, self.channels)).unflatten(1, (rows, -1))
        return squares.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)  # (B, C, rows, p, columns, p) -> (B, C, h, w)

    def attention(
        self, image: Tensor, t: Tensor, offset: Tensor, message: Tensor, layers: Sequence[int], mask: Mask
    ) -> Iterator[tuple[int, Tensor]]:
        """Who attends to whom in each of some layers (counted from 0), in their order, after the softmax: (B, H, N, N),
        buffer included.

        All layers are masked alike. ValueError for a layer that there is not.
        """
        if wrong := [layer for layer in layers if not 0 <= layer < len(self.blocks)]:
            raise ValueError(f"layer {wrong[0]} of {len(self.blocks)}, counted from 0")
        condition = self.t_embedder(TIME_UNIT * t)
        tokens, sizes = self.sequence(image, offset, message, buffer=True)
        bias = biased(tokens.shape[1], self.message_tokens, mask, tokens.device)
        may = allowed(tokens.shape[1], self.message_tokens, tokens.device)
        for layer, block in enumerate(self.blocks[: max(layers) + 1]):
            if layer in layers:
                logits = block.attention_logits(tokens, sizes, condition).float()
                logits = logits + bias if mask == "additive_one" else logits.masked_fill(~may, -torch.inf)
                yield layer, logits.softmax(dim=-1)
            if layer < max(layers):
                tokens = block(tokens, sizes, condition, bias)
