"""Parts that several pages of the report have: verdicts, a table as it stands, a picture, remarks of the code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.reporting.claims import MARKS
from tesserae.reporting.entries import Entry, Remark, beside
from tesserae.reporting.style import shown_size, template
from tesserae.reporting.table_files import fragment_of

if TYPE_CHECKING:
    from markupsafe import Markup

VERDICTS = """
<div class="share" aria-hidden="true">
{%- for word, count in counts.items() if count -%}
<span class="{{ word | replace(' ', '-') }}" style="flex-grow: {{ count }}"></span>
{%- endfor -%}
</div>
<ul class="verdicts">
{%- for word, count in counts.items() %}
<li><b>{{ count }}</b> <span aria-hidden="true">{{ marks[word] }}</span> {{ word }}</li>
{%- endfor %}
</ul>
""".strip()

PICTURE = """
<div class="picture"><a href="{{ file | urlencode }}"><img src="{{ file | urlencode }}" width="{{ width }}"
 height="{{ height }}" alt="{{ alt }}" loading="lazy"></a></div>
""".strip()

FILES = """
<p class="quiet files">
{%- for address, text in links -%}
<a href="{{ address | urlencode }}">{{ text }}</a>{{ ' · ' if not loop.last }}
{%- endfor -%}
{%- if origin %} · <a href="{{ origin }}">lineage</a>{% endif -%}
</p>
""".strip()

REMARKS = """
{%- for file, found in files.items() %}
<details class="folded"{% if loop.first %} open{% endif %}><summary><code>{{ file }}</code>
 <span class="quiet">{{ found | length }}</span></summary>
<ul>
{%- for remark in found %}
<li><b>{{ remark.word }}</b> {{ remark.text }} <span class="quiet">line {{ remark.line }}</span></li>
{%- endfor %}
</ul></details>
{%- endfor %}
""".strip()


def verdicts(counts: Mapping[str, int]) -> "Markup":
    """How many claims have each verdict: a bar and the counts."""
    return _html(VERDICTS, counts={word: counts[word] for word in MARKS}, marks=MARKS)


def table(entry: Entry, base: Path) -> "Markup":
    """A table as its .html file shows it, its links counted from `base`, the folder of the page.

    TableError if that file holds no table, ValueError if there is no such file among the entry's.
    """
    from markupsafe import Markup

    file = entry.file(".html")
    text = beside(base, file).read_text(encoding="utf-8")
    return Markup(fragment_of(text, where=str(beside(base, file)), folder=file.rpartition("/")[0]))


def picture(entry: Entry, base: Path) -> "Markup":
    """A figure's .png by its address, as large as it is meant; ValueError if it has none."""
    file = entry.file(".png")
    return picture_of(file, base, entry.heading)


def picture_of(file: str, base: Path, alt: str) -> "Markup":
    width, height = shown_size(beside(base, file).read_bytes())
    return _html(PICTURE, file=file, width=width, height=height, alt=alt)


def files(entry: Entry, origin: str) -> "Markup":
    """Links to all files of an entry, and to its place on the lineage page unless that is ""."""
    return _html(FILES, links=entry.links(), origin=origin)


def remarks(found: Sequence[Remark]) -> "Markup":
    """Remarks by file, each file folded; the first one is open."""
    by_file: dict[str, list[Remark]] = {}
    for remark in found:
        by_file.setdefault(remark.file, []).append(remark)
    return _html(REMARKS, files=by_file)


def _html(text: str, **values: Any) -> "Markup":
    from markupsafe import Markup

    return Markup(template(text).render(**values))
