"""The convolutional KL autoencoders behind most latent generators: SD-VAE (arXiv 2112.10752; 8 pixels per latent, 4
channels) and MAR-VAE (arXiv 2406.11838, the same recipe trained on ImageNet; 16 pixels, 16 channels).

Which of them is a matter of the recipe; the network and its losses are those of first_stage.py.
"""

from tesserae.tokenizers.first_stage import FirstStage


def build(spec: dict) -> FirstStage:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of FirstStage."""
    return FirstStage(**spec)
