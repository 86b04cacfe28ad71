"""First weights for networks that are much narrower than the papers'.

The papers start linear layers with a deviation of 0.02, which suits widths about 768. At a width of 64 what an image
says fades from layer to layer, and a short training ends before it comes back. Imports nothing of the systems.
"""

import torch
from torch import nn

# Last layers of residual branches, by the names that transformer blocks of the systems give them.
RESIDUAL = ("attn.proj", "attn.out_proj", "attention.wo", "mlp.fc2", "mlp.w3", "mlp.c_proj", "feed_forward.w2")
DAMPED = 0.3
COLOURS = 3
DISCRIMINATOR = "discriminator."


@torch.no_grad()
def start_narrow(model: nn.Module) -> None:
    """Give a network's linear layers and convolutions first weights that suit any width, from the global stream.

    Each is normal, truncated at two deviations, with the deviation 1 / sqrt(inputs). What a residual branch adds is
    damped, so that a network starts close to its linear part, and a convolution from colours to colours, the last layer
    of some decoders, starts as the identity. What starts at zero stays there, as do biases. A discriminator keeps what
    it has: its convolutions are as wide as their patches. Learned positions start as those of a grid in models that say
    which they are (`place_tokens`): from N(0, 0.02^2), who is whose neighbour takes most of a short training to learn.
    """
    for name, module in model.named_modules():
        if name.startswith(DISCRIMINATOR):
            continue
        if isinstance(module, nn.Conv2d) and module.in_channels == module.out_channels == COLOURS:
            if module.weight.any():
                nn.init.dirac_(module.weight)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            _fan_in(module.weight, DAMPED if name.endswith(RESIDUAL) else 1.0)
        elif isinstance(module, nn.MultiheadAttention):
            _fan_in(module.in_proj_weight, 1.0)
    if hasattr(model, "place_tokens"):
        model.place_tokens()


def _fan_in(weight: torch.Tensor, damped: float) -> None:
    if weight.any():
        std = damped * weight[0].numel() ** -0.5
        nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
