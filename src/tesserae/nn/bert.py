"""BERT (arXiv 1810.04805, Sec. 3): the bidirectional post-norm transformer that masked generators are.

Left out: its pooling, its next-sentence task and the dense layer before its predictions. Parameter names are those of
Hugging Face's code, in which published weights are saved.

Shapes: B sequences, L tokens, M of all tokens, D width, H heads, d = D / H.
"""

from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-12  # official code


class Embeddings(nn.Module):
    """Token, position and segment vectors, added and normed. Ids int64 (B, L) -> (B, L, D)."""

    def __init__(self, *, vocabulary: int, positions: int, width: int, dropout: float):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width)
        self.position_embeddings = nn.Embedding(positions, width)
        self.token_type_embeddings = nn.Embedding(2, width)  # of BERT's sentence pairs; here all are of the first kind
        self.LayerNorm = nn.LayerNorm(width, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, added: Tensor | None = None) -> Tensor:
        """`added` (B, L, D) is what else a token says. ValueError for more tokens than positions."""
        L, positions = ids.shape[1], self.position_embeddings.weight
        if len(positions) < L:
            raise ValueError(f"{L} tokens for {len(positions)} positions")
        x = self.word_embeddings(ids) + self.token_type_embeddings.weight[0] + positions[:L]
        return self.dropout(self.LayerNorm(x if added is None else x + added))


class SelfAttention(nn.Module):
    """Every token attends to all that `real` (B, L) allows. (B, L, D) -> (B, L, D), before the output projection."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )  # (B, H, L, d) each
        mask = None if real is None else real[:, None, None]  # (B, 1, 1, L)
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout).transpose(1, 2).flatten(2)


class AddNorm(nn.Module):
    """The end of a half block: project, add to what came in, norm. (B, L, C), (B, L, D) -> (B, L, D)."""

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, came: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + came)


class Block(nn.Module):
    """Attention, then two linear layers with an exact GELU between them; each is added, then normed."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, attention_dropout: float):
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(width, heads, attention_dropout), "output": AddNorm(width, width, dropout)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden)})
        self.output = AddNorm(hidden, width, dropout)

    def forward(self, x: Tensor, real: Tensor | None, wanted: Tensor | None = None) -> Tensor:
        """`wanted` bool (B, L): of which tokens the result is, (M, D); None: of all, (B, L, D)."""
        attended = self.attention["self"](x, real)
        if wanted is not None:
            attended, x = attended[wanted], x[wanted]
        x = self.attention["output"](attended, x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class Bert(nn.Module):
    """Ids -> features, and `lm_head`, which predicts `outputs` values of each."""

    def __init__(
        self,
        *,
        vocabulary: int,
        positions: int,
        outputs: int,
        width: int,
        blocks: int,
        heads: int,
        hidden: int,
        dropout: float,  # of embeddings, attention and feed-forward outputs
        attention_dropout: float,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads")
        self.embeddings = Embeddings(vocabulary=vocabulary, positions=positions, width=width, dropout=dropout)
        layers = (Block(width, heads, hidden, dropout, attention_dropout) for _ in range(blocks))
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        self.lm_head = nn.Linear(width, outputs)

    def forward(
        self, ids: Tensor, added: Tensor | None = None, real: Tensor | None = None, wanted: Tensor | None = None
    ) -> Tensor:
        """Ids int64 (B, L) -> (B, L, D). `real` bool (B, L): which are no padding; None: all.

        With `wanted` bool (B, L), of those tokens alone, (M, D): the last block does nothing more for the others.
        """
        x = self.embeddings(ids, added)
        *blocks, last = self.encoder["layer"]
        for block in blocks:
            x = block(x, real)
        return last(x, real, wanted)


def initialise(model: nn.Module, std: float = 0.02) -> None:
    """BERT's first weights: matrices and embeddings N(0, std^2), biases zero; norms as they are."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
