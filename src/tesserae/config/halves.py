"""What a scale says of tokenizers with an encoder and a decoder of sizes of their own, and a number of tokens."""

from tesserae.config.resolve import Context, ResolvedRecipe, Spec


def describe_tokens(system: str, spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill image and patches, sizes of both halves, and the number of tokens, which scales map."""
    ours = getattr(context.scale.systems, system)
    spec.set("model.image_size", context.mapped("image_size", recipe["image_size"]))
    patch = context.mapped("patch_size", recipe["patch_size"])
    spec.set("model.patch_size", context.either(ours.patch_size, patch, f"systems.{system}.patch_size"))
    paper = recipe["latent_tokens"]
    mapped = context.either(ours.latent_tokens.get(paper.value), paper, f"systems.{system}.latent_tokens.{paper.value}")
    spec.set("model.latent_tokens", mapped)
    for part in ("encoder", "decoder"):
        for key, value in context.size(system, recipe, part).items():
            spec.set(f"model.{part}.{key}", value)
