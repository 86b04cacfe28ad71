"""How a forecast of costs is shown: a chart of what runs where and when, and a section of a page. Counts nothing."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.config.stages import STAGES
from tesserae.reporting.style import INK, look, page, render, shown_size, template
from tesserae.words import duration, size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OTHER = "#bdbdbd"  # of stages that have no colour of their own
MOST_LANES = 64  # up to so many GPUs every GPU has a lane of its own height


def hours(count: float) -> str:
    """Hours as a reader writes them."""
    return duration(3600 * count)


def _colour(stage: str) -> str:
    return STAGES[stage].colour or OTHER


def gantt(forecast: Mapping[str, Any]) -> "Figure":
    """Every job that uses GPUs as a bar on its GPUs; the critical path has a dark edge and its trainings are named."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    critical = {step["job"] for step in forecast["critical_path"]}
    total, count = forecast["total"], forecast["gpus"]
    busy = total["gpu_hours"] / (count * total["wall_hours"])
    with look():
        figure = Figure(figsize=(10, 2.2 + 3.6 * min(1, count / MOST_LANES)), layout="constrained")
        axes = figure.add_subplot()
        found = dict.fromkeys(name.split("/")[0] for name, *_, gpus in forecast["schedule"] if gpus)
        for name, start, end, gpus in forecast["schedule"]:
            stage, recipe = name.split("/")
            for first, last in _runs(gpus):
                on_path = name in critical
                box = Rectangle(
                    (start, first),
                    end - start,
                    last - first + 1,
                    facecolor=_colour(stage),
                    edgecolor=INK if on_path else "white",
                    linewidth=1.2 if on_path else 0.3,
                    zorder=3 if on_path else 2,
                )
                axes.add_patch(box)
                wide = (end - start) / total["wall_hours"]
                if last - first >= count / 12 and wide > 0.006 * len(recipe) + 0.01:
                    colour = "white" if STAGES[stage].trains else INK
                    axes.text(
                        (start + end) / 2,
                        (first + last + 1) / 2,
                        f"{recipe}\n{hours(end - start)}",
                        ha="center",
                        va="center",
                        fontsize=7.0,
                        color=colour,
                        zorder=4,
                        linespacing=1.3,
                    )
        axes.set(xlim=(0, total["wall_hours"]), ylim=(count, 0), xlabel="hours", ylabel=f"{count} GPUs")
        axes.grid(False)
        axes.set_yticks(range(0, count + 1, 8 if count % 8 == 0 else max(1, count // 8)))
        axes.set_title(
            f"{forecast['scale']} on {count} x {forecast['gpu'].upper()}: {hours(total['wall_hours'])}, "
            f"{total['gpu_hours']:,.0f} GPU-hours, {busy:.0%} of the GPUs' time used"
        )
        order = [stage for stage in STAGES if stage in found]
        handles = [Patch(facecolor=_colour(stage), label=stage.replace("_", " ")) for stage in order]
        handles.append(Patch(facecolor="none", edgecolor=INK, linewidth=1.2, label="critical path"))
        figure.legend(handles=handles, loc="outside lower left", ncols=6, fontsize=8)
    return figure


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Neighbouring GPUs as (first, last)."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


SECTION = """
<section id="forecast">
<h2>What the scale {{ f.scale }} would cost</h2>
<p class="quiet">On {{ f.gpus }} GPUs ({{ f.gpu | upper }}), not run: {{ f.total.jobs }} jobs,
{{ '{:,.0f}'.format(f.total.gpu_hours) }} GPU-hours, {{ hours(f.total.wall_hours) }} in all,
{{ size(f.total.peak_disk) }} of disk, at most {{ size(f.total.memory) }} of a GPU's memory.
FLOP are counted without data, hours are calibrated on published ones.</p>
{%- for warning in f.warnings %}
<p><b>Warning.</b> {{ warning }}</p>
{%- endfor %}
{{ picture }}
<details class="folded"><summary>By stage, critical path, calibration</summary>
<div class="wide"><table class="list">
<thead><tr><th scope="col">Stage</th><th scope="col" class="time">Jobs</th>
<th scope="col" class="time">GPUs of a job</th>
<th scope="col" class="time">GPU-hours</th><th scope="col" class="time">Share</th>
<th scope="col" class="time">Longest job</th><th scope="col" class="time">GPU memory</th>
<th scope="col" class="time">Disk</th></tr></thead>
<tbody>
{%- for stage in f.stages %}
<tr><td>{{ stage.stage }}</td><td class="time">{{ stage.jobs }}</td><td class="time">{{ stage.gpus or '' }}</td>
<td class="time">{{ '{:,.1f}'.format(stage.gpu_hours) if stage.gpus else '' }}</td>
<td class="time">{{ '{:.1%}'.format(stage.fraction) if stage.gpus else '' }}</td>
<td class="time">{{ hours(stage.longest_hours) }}</td>
<td class="time">{{ size(stage.memory) if stage.gpus else '' }}</td><td class="time">{{ size(stage.disk) }}</td></tr>
{%- endfor %}
</tbody>
</table></div>
<h3>Critical path</h3>
<p>{% for step in f.critical_path %}{{ step.job }} ({{ hours(step.hours) }}){{ ' → ' if not loop.last }}{% endfor %}:
{{ hours(f.total.critical_hours) }}.</p>
<h3>Calibration</h3>
<div class="wide"><table class="list">
<thead><tr><th scope="col">Published training</th><th scope="col" class="time">Reported A100-hours</th>
<th scope="col" class="time">Predicted</th><th scope="col" class="time">Predicted / reported</th>
<th scope="col">Used to</th></tr></thead>
<tbody>
{%- for anchor in f.calibration.anchors %}
<tr><td>{{ anchor.row }}</td><td class="time">{{ reported(anchor) }}</td>
<td class="time">{{ '{:,.0f}'.format(anchor.predicted) }}</td><td class="time">{{ '{:.2f}'.format(anchor.ratio) }}</td>
<td>{{ 'fit' if anchor.fitted else 'check' }}</td></tr>
{%- endfor %}
</tbody>
</table></div>
<p class="quiet">Of a range the geometric middle counts. Assumed:
{%- for sentence in f.assumptions %} {{ sentence }}{% endfor %}</p>
</details>
</section>
""".strip()


def reported(anchor: Mapping[str, Any]) -> str:
    """Hours as printed, a range as low-high."""
    low, high = anchor["low"], anchor["high"]
    return f"{low:,.0f}" if low == high else f"{low:,.0f}\u2013{high:,.0f}"


def section(forecast: Mapping[str, Any], picture: str = "") -> str:
    """The HTML of a forecast; `picture` is the HTML of its chart."""
    from markupsafe import Markup

    return template(SECTION).render(
        f=forecast, picture=Markup(picture), hours=hours, size=lambda count: size(round(count)), reported=reported
    )


def write_page(file: Path, forecast: Mapping[str, Any]) -> None:
    """A page of its own for a forecast; needs no network and no other file."""
    title = f"tesserae plan: {forecast['scale']} on {forecast['gpus']} x {forecast['gpu'].upper()}"
    png = render(gantt(forecast), "png")
    width, height = shown_size(png)
    source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    picture = f'<div class="picture"><img src="{source}" width="{width}" height="{height}" alt="Jobs over time"></div>'
    content = f"<header><h1>{title}</h1></header>\n<main>{section(forecast, picture)}</main>"
    file.write_text(page(title, content), encoding="utf-8", newline="\n")
