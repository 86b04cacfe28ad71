"""The convolutional encoder and decoder of VQGAN (arXiv 2012.09841, Tab. 7) and of latent diffusion's first stages
(arXiv 2112.10752), under the parameter names of their official code.

Shapes: B images, S image side, L levels, f = 2^(L - 1), S / f the side of the latent map, C its channels.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

LARGEST_GROUPS, GROUP_WIDTH = 32, 4  # 32 groups of 4 channels at the official base width of 128


def group_norm(width: int) -> nn.GroupNorm:
    # DECISION: networks narrower than the official ones keep their groups of 4 channels rather than their number of 32.
    # 16 channels in 16 groups would be instance normalisation, which takes each channel's mean away.
    return nn.GroupNorm(max(1, min(LARGEST_GROUPS, width // GROUP_WIDTH)), width, eps=1e-6)


class ResidualBlock(nn.Module):
    """(B, before, H, W) -> (B, after, H, W): twice group norm, swish and a 3x3 convolution."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.norm1, self.conv1 = group_norm(before), nn.Conv2d(before, after, 3, padding=1)
        self.norm2, self.conv2 = group_norm(after), nn.Conv2d(after, after, 3, padding=1)
        self.nin_shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class MapAttention(nn.Module):
    """(B, D, H, W) -> the same: self-attention of one head over all positions."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = group_norm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (conv(h).flatten(2).transpose(1, 2)[:, None] for conv in (self.q, self.k, self.v))  # (B, 1, HW, D)
        h = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.proj_out(h)


class Downsample(nn.Module):
    """Halve the side by a convolution of stride 2, padded at the right and at the bottom alone."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double the side: each value four times, then a convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residual blocks at one resolution, each followed by attention if there is any, then the way to the next level."""

    def __init__(self, before: int, after: int, blocks: int, attention: bool, *, down: bool = False, up: bool = False):
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(before if i == 0 else after, after) for i in range(blocks))
        self.attn = nn.ModuleList(MapAttention(after) for _ in range(blocks if attention else 0))
        self.downsample = Downsample(after) if down else nn.Identity()
        self.upsample = Upsample(after) if up else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[i](x)
        return self.upsample(self.downsample(x))


class Middle(nn.Module):
    """Block, attention and block at the lowest resolution."""

    def __init__(self, width: int):
        super().__init__()
        self.block_1, self.block_2 = ResidualBlock(width, width), ResidualBlock(width, width)
        self.attn_1 = MapAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class ConvEncoder(nn.Module):
    """Images (B, 3, S, S) -> maps (B, outputs, S / f, S / f). `attention` is that of the lowest level."""

    def __init__(self, channels: int, multipliers: Sequence[int], blocks: int, outputs: int, attention: bool):
        super().__init__()
        widths, last = [channels * m for m in multipliers], len(multipliers) - 1
        self.conv_in = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList(
            Level(before, after, blocks, attention and level == last, down=level < last)
            for level, (before, after) in enumerate(zip([channels, *widths], widths, strict=False))
        )
        self.mid = Middle(widths[-1])
        self.norm_out = group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], outputs, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv_in(images)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class ConvDecoder(nn.Module):
    """Maps (B, inputs, S / f, S / f) -> images (B, 3, S, S). Each level has one block more than the encoder's."""

    def __init__(self, channels: int, multipliers: Sequence[int], blocks: int, inputs: int, attention: bool):
        super().__init__()
        widths, last = [channels * m for m in multipliers], len(multipliers) - 1
        self.conv_in = nn.Conv2d(inputs, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList(  # from the highest resolution to the lowest, and run the other way round
            Level(before, after, blocks + 1, attention and level == last, up=level > 0)
            for level, (before, after) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True))
        )
        self.norm_out = group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.mid(self.conv_in(latents))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))
