"""The convolutional encoder and decoder of MaskGIT's tokenizer (arXiv 2202.04200, App. A), under the parameter names of
their PyTorch port, which TiTok and its followers take as target and as pixel decoder.

VQGAN's (conv_autoencoder.py) without attention, with average pooling in place of strided convolutions, as many blocks
in a level of the decoder as of the encoder, and residual blocks of their own kind.

Shapes: B images, S image side, L levels, f = 2^(L - 1), S / f the side of the latent map.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.conv_autoencoder import group_norm


class ResidualBlock(nn.Module):
    """(B, before, H, W) -> (B, after, H, W): twice group norm, swish and a 3x3 convolution without bias.

    TensorFlow's "same" padding is one pixel on each side here, for kernels are odd and strides 1.
    """

    def __init__(self, before: int, after: int):
        super().__init__()
        self.norm1, self.conv1 = group_norm(before), nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.norm2, self.conv2 = group_norm(after), nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.nin_shortcut = nn.Identity() if before == after else nn.Conv2d(after, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        # Where the width changes, the shortcut starts from the branch and not from the input, as published weights want
        # it (official code).
        return h + (x if isinstance(self.nin_shortcut, nn.Identity) else self.nin_shortcut(h))


class Level(nn.Module):
    """Residual blocks at one resolution, then the way to the next level."""

    def __init__(self, before: int, after: int, blocks: int, *, down: bool = False, up: bool = False):
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(before if i == 0 else after, after) for i in range(blocks))
        self.down, self.upsample_conv = down, nn.Conv2d(after, after, 3, padding=1) if up else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        if self.down:
            x = F.avg_pool2d(x, 2)
        if self.upsample_conv is not None:
            x = self.upsample_conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


class MaskGITEncoder(nn.Module):
    """Images (B, 3, S, S) in [0, 1] -> maps (B, outputs, S / f, S / f). S is divisible by f."""

    def __init__(self, channels: int, multipliers: Sequence[int], blocks: int, outputs: int):
        super().__init__()
        widths, last = [channels * m for m in multipliers], len(multipliers) - 1
        self.conv_in = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.down = nn.ModuleList(
            Level(before, after, blocks, down=level < last)
            for level, (before, after) in enumerate(zip([channels, *widths], widths, strict=False))
        )
        self.mid = nn.ModuleList(ResidualBlock(widths[-1], widths[-1]) for _ in range(blocks))
        self.norm_out = group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv_in(images)
        for part in (*self.down, *self.mid):
            x = part(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class MaskGITDecoder(nn.Module):
    """Maps (B, inputs, S / f, S / f) -> images (B, 3, S, S), about [0, 1], not clamped."""

    def __init__(self, channels: int, multipliers: Sequence[int], blocks: int, inputs: int):
        super().__init__()
        widths = [channels * m for m in multipliers]
        self.conv_in = nn.Conv2d(inputs, widths[-1], 3, padding=1)
        self.mid = nn.ModuleList(ResidualBlock(widths[-1], widths[-1]) for _ in range(blocks))
        self.up = nn.ModuleList(  # from the highest resolution to the lowest, and run the other way round
            Level(before, after, blocks, up=level > 0)
            for level, (before, after) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True))
        )
        self.norm_out = group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        x = self.conv_in(maps)
        for part in (*self.mid, *reversed(self.up)):
            x = part(x)
        return self.conv_out(F.silu(self.norm_out(x)))
