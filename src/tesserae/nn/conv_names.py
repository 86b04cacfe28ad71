"""Names of LlamaGen's convolutional autoencoder, which Hita has as well, as conv_autoencoder.py has them."""

import re

MIDDLE = ("block_1", "attn_1", "block_2")


def our_name(official: str, levels: int) -> str:
    """The name of an official tensor of `encoder.` or `decoder.`, of so many levels; others keep theirs."""
    name = re.sub(r"\.mid\.(\d)\.", lambda found: f".mid.{MIDDLE[int(found[1])]}.", official)
    name = re.sub(r"^encoder\.conv_blocks\.", "encoder.down.", name)
    # the official decoder counts its levels as they are run, ours from the highest resolution
    name = re.sub(r"^decoder\.conv_blocks\.(\d+)", lambda found: f"decoder.up.{levels - 1 - int(found[1])}", name)
    return name.replace(".res.", ".block.")
