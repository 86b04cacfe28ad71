"""TiTok's PatchGAN: blurred downsampling and group norm in place of strided convolutions and batch norm.

Official code of TiTok and TA-TiTok (arXiv 2406.07550, 2501.07730), whose papers do not describe it.

Shapes: B images, S image side, s = min(16, S / 8) side of the logits.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS, SLOPE, SIDE = 32, 0.1, 16


class Blur(nn.Module):
    """Half the side, by the binomial filter [1, 3, 3, 1] in both directions; maps (B, C, H, W) of any channels."""

    def __init__(self):
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", line.outer(line)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = F.pad(x, (1, 1 + width % 2, 1, 1 + height % 2))  # as TensorFlow's "same"
        return F.conv2d(x, self.kernel.expand(x.shape[1], -1, -1, -1), stride=2, groups=x.shape[1])


class BlurDiscriminator(nn.Module):
    """Images (B, 3, S, S) in [0, 1] -> logits (B, 1, s, s).

    `layers` halvings; the first keeps `channels`, each later one doubles them (TiTok: 128 and 3). PyTorch's
    initialisation, as in the official code.
    """

    def __init__(self, channels: int, layers: int):
        super().__init__()
        self.block_in = nn.Sequential(nn.Conv2d(3, channels, 5, padding=2), nn.LeakyReLU(SLOPE))
        self.blocks, before = nn.ModuleList(), channels
        for i in range(layers):
            width = channels * 2**i
            # DECISION: the official code needs 32 channels or more; narrower maps of small scales are normalised
            # channel by channel.
            norm = nn.GroupNorm(min(GROUPS, width), width)
            self.blocks.append(nn.Sequential(nn.Conv2d(before, width, 3, padding=1), Blur(), norm, nn.LeakyReLU(SLOPE)))
            before = width
        self.to_logits = nn.Sequential(
            nn.Conv2d(before, before, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(before, 1, 5, padding=2)
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.block_in(images)
        for block in self.blocks:
            x = block(x)
        # DECISION: the official code pools to 16 x 16 whatever the image, which repeats values below 128 pixels.
        return self.to_logits(F.adaptive_max_pool2d(x, min(SIDE, images.shape[-1] // 8)))
