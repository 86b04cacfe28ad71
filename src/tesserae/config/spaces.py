"""Whose tokens can be moved without steps (`TokenSpace` in contracts.py), and why those of others cannot."""

SPACES = {
    "detok": "tesserae.tokenizers.token_space",
    "kl_vae": "tesserae.tokenizers.token_space",
    "va_vae": "tesserae.tokenizers.token_space",
    "maetok": "tesserae.tokenizers.token_space",
    "concepttok": "tesserae.tokenizers.concepttok_space",
    "titok": "tesserae.tokenizers.titok_space",
    "llamagen_vq": "tesserae.tokenizers.llamagen_vq_space",
    "maskgit_vqgan": "tesserae.tokenizers.maskgit_vqgan_space",
    "hita": "tesserae.tokenizers.hita_space",
    "tatok": "tesserae.tokenizers.tatok_space",
    "comptok": "tesserae.tokenizers.comptok_space",
    "comit": "tesserae.tokenizers.comit_space",
    "flextok_like": "tesserae.tokenizers.flow_space",
    "selftok_like": "tesserae.tokenizers.flow_space",
    "alit_like": "tesserae.tokenizers.alit_like_space",
}
# System -> why there is no number of it.
WITHOUT = {
    "sftok": "its decoder chooses codes on the way, and a choice has no gradient",
}
