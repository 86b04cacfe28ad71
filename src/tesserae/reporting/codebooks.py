"""How much of their codebooks discrete tokenizers use: a section of a scale's page."""

import base64
from collections.abc import Mapping, Sequence

from tesserae.reporting.curves import draw_curves
from tesserae.reporting.style import render, template

WATCHED = ("usage", "perplexity")  # what trainings of discrete tokenizers log

SECTION = """
<section id="codebooks">
<h2>Codebooks</h2>
<p class="quiet">Codes of the training images as they are. Used: codes that occur at all. Perplexity: the exponential of
the codes' entropy, as many codes as would carry as much if all were equally common.</p>
<div class="wide"><table class="list">
<thead><tr><th scope="col">Tokenizer</th><th scope="col" class="time">Codebook</th>
<th scope="col" class="time">Used</th><th scope="col" class="time">Dead codes</th>
<th scope="col" class="time">Perplexity</th><th scope="col" class="time">Perplexity / codebook</th></tr></thead>
<tbody>
{%- for name, found in codes.items() %}
<tr><td>{{ name }}</td><td class="time">{{ '{:,.0f}'.format(found.vocabulary) }}</td>
<td class="time">{{ '{:.1%}'.format(found.usage) }}</td><td class="time">{{ '{:,.0f}'.format(found.dead_codes) }}</td>
<td class="time">{{ '{:,.1f}'.format(found.perplexity) }}</td>
<td class="time">{{ '{:.1%}'.format(found.perplexity / found.vocabulary) }}</td></tr>
{%- endfor %}
</tbody>
</table></div>
{%- if picture %}
<h3>Over training</h3>
<p class="quiet">Of single batches, so below what the whole training set uses; first seeds.</p>
<div class="picture"><img src="{{ picture }}" width="760" alt="Usage and perplexity of codebooks over training"></div>
{%- endif %}
</section>
""".strip()


def section(
    codes: Mapping[str, Mapping[str, float]],
    curves: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    *,
    scale: str = "",
) -> str:
    """The HTML of the section; "" without a discrete tokenizer.

    codes: tokenizer -> numbers of its artifact `codes`: vocabulary, usage (fraction), perplexity, dead_codes. curves:
    tokenizer -> lines of its curves.jsonl; those without codebook terms are left out.
    """
    if not codes:
        return ""
    discrete = {name: lines for name, lines in (curves or {}).items() if any(WATCHED[0] in line for line in lines)}
    picture = ""
    if discrete:
        terms = [term for term in WATCHED if any(term in line for lines in discrete.values() for line in lines)]
        png = render(draw_curves(runs=discrete, scale=scale, terms=terms), "png")
        picture = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return template(SECTION).render(codes=codes, picture=picture)
