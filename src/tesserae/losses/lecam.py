"""LeCam regularisation of a discriminator (arXiv 2104.03310), in TiTok's form: one running number for each side.

Real images must not be judged far above what generated ones usually are, nor generated ones far below real ones.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DECAY = 0.999  # of the running means (TiTok, official code)


class LeCam(nn.Module):
    """The term, and running means of the logits of real and of generated images, which begin at 0."""

    def __init__(self):
        super().__init__()
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """relu(E D(real) - usual fake)^2 + relu(usual real - E D(fake))^2, 0-d. In training the means then move."""
        real, fake = real_logits.mean(), fake_logits.mean()
        loss = F.relu(real - self.fake).square() + F.relu(self.real - fake).square()
        if self.training:
            self.real.lerp_(real.detach(), 1 - DECAY)
            self.fake.lerp_(fake.detach(), 1 - DECAY)
        return loss
