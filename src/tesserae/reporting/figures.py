"""Figures, from plain arrays and dictionaries. Every function writes `stem`.png, .svg and .pdf and returns the paths.

Shapes: K images, T noise levels, M samples, H x W pixels; images are uint8 (..., H, W, 3).
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tesserae.reporting import style
from tesserae.reporting.tables import CHOSEN, same_measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.06  # between two images of a sheet, in parts of an image
SIDE = 128  # smallest side of a printed image in pixels: smaller ones are enlarged without smoothing


class FigureError(ValueError):
    """Inputs that do not belong in one figure."""


# ----------------------------------------------------------------------------------------------------------- Figure 4
def figure_4(
    stem: str | Path,
    *,
    rows: Mapping[str, str],
    generators: Sequence[str],
    published: Mapping[tuple[str, str], float | None],
    searches: Mapping[tuple[str, str], Mapping[str, Any] | None],
    measured: Mapping[tuple[str, str], Mapping[str, Any] | None] | None = None,
    scale: str,
    published_from: str = "Table 1, 50,000 samples",
) -> list[Path]:
    """l-DeTok, Fig. 4: FID and IS against guidance for each tokenizer and generator, below bars of the best FID.

    rows: {key: label} of the tokenizers; generators: panel titles, e.g. ("MAR-B", "SiT-B"). The three mappings have
    the key (row key, generator): `published` FID with guidance as printed (the paper prints no number for the curves),
    `searches` search.json, `measured` metrics.json with guidance; None is drawn as not run. Without `measured`, the
    bars are the searches' own values at the selected guidance, over fewer samples.
    Published and measured bars have axes of their own. Raises TableError if measured numbers of one axis were obtained
    in two ways (between generators only sampler and candidates may differ), FigureError for searches of one generator
    over different sample counts and for a search without the point that it selected.
    """
    from matplotlib.figure import Figure

    selected = {place: _at_selected(search, f"{rows[place[0]]}, {place[1]}") for place, search in searches.items()}
    measured = selected if measured is None else measured
    same_measure(
        {
            f"{generator} with {rows[key]}": _shared(measured[key, generator])
            for generator in generators
            for key in rows
        },
        where="Figure 4, measured bars",
    )
    for generator in generators:
        for kind, numbers in (("bars", measured), ("curves", selected)):
            same_measure(
                {label: (numbers[key, generator] or {}).get("measure") for key, label in rows.items()},
                where=f"Figure 4, {generator}, {kind}",
            )
    with style.look():
        figure = Figure(figsize=(9.2, 9.6), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.08, hspace=0.04, wspace=0.04)
        grid = figure.add_gridspec(3, 2 * len(generators), height_ratios=(1.15, 1, 1))
        half = len(generators)
        left, right = figure.add_subplot(grid[0, :half]), figure.add_subplot(grid[0, half:])
        _bars(left, rows, generators, published, "not printed")
        left.set_title(f"Published FID, best guidance\n{published_from}")
        _bars(
            right,
            rows,
            generators,
            {place: None if metrics is None else metrics["values"]["fid"] for place, metrics in measured.items()},
            "not run",
        )
        right.set_title(f"Measured FID, best guidance\nscale {scale}{_how(measured.values())}")
        for column, generator in enumerate(generators):
            for line, (statistic, arrow) in enumerate((("fid", "↓"), ("is", "↑")), start=1):
                axes = figure.add_subplot(grid[line, 2 * column : 2 * column + 2])
                found = {key: searches[key, generator] for key in rows}
                _curves(axes, rows, found, statistic)
                count = next((f", {search['samples']} samples" for search in found.values() if search), "")
                missing = [label for key, label in rows.items() if found[key] is None]
                axes.set_title(
                    f"{generator}: {statistic.upper()} {arrow} against guidance (measured{count})"
                    + (f"\nnot run: {', '.join(missing)}" if missing else "")
                )
                axes.set_ylabel(statistic.upper())
                axes.set_xlabel("guidance scale" if statistic == "is" else "")
        _legend(figure, list(rows.values()))
        figure.supxlabel(
            "Rings: the selected guidance. Published and measured numbers, and numbers over different "
            "sample counts, are not comparable in absolute value.",
            fontsize=8,
            color=style.INK,
        )
        return style.save(figure, stem)


def _bars(
    axes: "Axes",
    rows: Mapping[str, str],
    generators: Sequence[str],
    values: Mapping[tuple[str, str], float | None],
    blank: str,
) -> None:
    """Groups of bars, one group per generator, one bar per tokenizer, the number above each."""
    marks = style.marks(rows.values())
    width = 0.84 / len(rows)
    highest = max((value for value in values.values() if value is not None), default=1.0)
    for group, generator in enumerate(generators):
        for index, (key, label) in enumerate(rows.items()):
            x = group + (index - (len(rows) - 1) / 2) * width
            value = values[key, generator]
            if value is None:
                axes.text(
                    x, 0.02 * highest, blank, rotation=90, ha="center", va="bottom", fontsize=7, color=style.NEUTRAL
                )
                continue
            shown = f"{value:.2f}" if value < 100 else f"{value:.0f}"  # wider numbers would overlap
            axes.bar(x, value, width * 0.92, color=marks[label][0])
            axes.text(x, value + 0.015 * highest, shown, ha="center", va="bottom", fontsize=7, color=style.INK)
    axes.set_xticks(range(len(generators)), generators)
    axes.tick_params(axis="x", length=0, labelsize=9)
    axes.set_xlim(-0.55, len(generators) - 0.45)
    axes.set_ylim(0, 1.12 * highest)
    axes.set_ylabel("FID ↓")
    if all(value is None for value in values.values()):
        axes.set_yticks([])


def _curves(
    axes: "Axes", rows: Mapping[str, str], searches: Mapping[str, Mapping[str, Any] | None], statistic: str
) -> None:
    """One line per tokenizer at the temperature of guided sampling; a ring where guidance was selected."""
    marks = style.marks(rows.values())
    for key, label in rows.items():
        search = searches[key]
        if search is None:
            continue
        selected = search["selected"]["cfg"]
        points = sorted(
            (point["guidance"], point[statistic])
            for point in search["points"]
            if point["temperature"] == selected["temperature"]
        )
        chosen = [point for point in points if point[0] == selected["guidance"]]
        colour, marker = marks[label]
        axes.plot(*zip(*points, strict=True), color=colour, marker=marker, markeredgecolor="white", markeredgewidth=0.6)
        axes.plot(
            *zip(*chosen, strict=True),
            linestyle="none",
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=1.4,
        )
    if not any(searches.values()):
        axes.set_xticks([])
        axes.set_yticks([])


def _at_selected(search: Mapping[str, Any] | None, where: str) -> dict | None:
    """A search's own value at the guidance it selected, in the form of metrics.json."""
    if search is None:
        return None
    chosen = search["selected"]["cfg"]
    for point in search["points"]:
        if all(point[name] == chosen[name] for name in CHOSEN):
            measure = {"samples": search["samples"], "extractor": "of the search", **search.get("measure", {})}
            return {"values": {"fid": point["fid"]}, "measure": measure}
    raise FigureError(f"the search of {where} has no point at its selected {chosen}")


def _shared(metrics: Mapping[str, Any] | None) -> dict | None:
    """What must agree between generators on one axis: all of the measure but how each of them is sampled."""
    own = ("sampler", "selection")
    return metrics and {name: value for name, value in metrics["measure"].items() if name not in own}


def _how(measured: Any) -> str:
    """ ", extractor embedded, 1000 samples" of the metrics given (None: not run)."""
    texts = dict.fromkeys(
        f", extractor {metrics['measure']['extractor']}, {metrics['measure']['samples']} samples"
        for metrics in measured
        if metrics is not None
    )
    return " /".join(texts)


def _legend(figure: "Figure", labels: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=3, markersize=6, markeredgecolor="white", label=label)
        for label, (colour, marker) in style.marks(labels).items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5))


# ----------------------------------------------------------------------------------------------------- sheets of images
def qualitative(
    stem: str | Path, *, originals: np.ndarray, reconstructions: Mapping[str, np.ndarray], scale: str
) -> list[Path]:
    """Originals (K, H, W, 3) in the first row, then one row of reconstructions (K, H, W, 3) per tokenizer label."""
    sheet = {"original": originals, **reconstructions}
    with style.look():
        return style.save(_sheet(sheet, [""] * len(originals), f"Reconstructions (scale {scale})"), stem)


def samples_sheet(
    stem: str | Path,
    *,
    samples: Mapping[str, np.ndarray],
    scale: str,
    labels: Mapping[str, Sequence] | None = None,
    per_row: int = 12,
) -> list[Path]:
    """Generated samples (M, H, W, 3), one row per generator label: the first `per_row` of each, not picked.

    labels: the class (name or number) of each sample, by generator; they head the columns once. Raises FigureError if
    generators show different classes, since columns would compare what cannot be compared.
    """
    shown = {label: np.asarray(images)[:per_row] for label, images in samples.items()}
    classes = {label: [str(name) for name in labels[label]][:per_row] for label in samples} if labels else {}
    heads = next(iter(classes.values()), [""] * per_row)
    for label, names in classes.items():
        if names != heads:
            raise FigureError(f"samples of {label!r} are of classes {names}, not {heads} as in the first row")
    with style.look():
        return style.save(_sheet(shown, heads, f"Generated samples (scale {scale})"), stem)


def denoising(
    stem: str | Path, *, tokenizers: Mapping[str, Mapping[str, np.ndarray]], scale: str, show: Sequence[int] = (0, 1)
) -> list[Path]:
    """l-DeTok, Fig. A.1: images decoded from latents corrupted at noise level tau, one row per decoder; PSNR below.

    tokenizers: label -> {"taus": (T,), "images": (T, K, H, W, 3), "originals": (K, H, W, 3), "psnr": (T,) in dB, its
    mean over images that need not be those shown};
    `show` are the images (indices into K) to print. Raises FigureError if noise levels or originals differ.
    """
    first_label, first = next(iter(tokenizers.items()))
    for label, item in tokenizers.items():
        for name in ("taus", "originals"):
            if not np.array_equal(item[name], first[name]):
                raise FigureError(f"{name} of {label!r} are not those of {first_label!r}")
    taus = np.asarray(first["taus"])
    heads = ["original", *(f"{tau:.1f}" for tau in taus)]
    sheet: list[tuple[str, np.ndarray]] = []
    for index in show:
        for label, item in tokenizers.items():
            strip = np.concatenate([item["originals"][index][None], item["images"][:, index]])
            sheet.append((label, strip))
    with style.look():
        title = f"Decoded from latents corrupted at noise level τ (scale {scale})"
        figure = _sheet(sheet, heads, title, curves=2.6, breaks=len(tokenizers))
        axes = figure.axes[1]
        for label, (colour, marker) in style.marks(tokenizers).items():
            axes.plot(
                taus,
                tokenizers[label]["psnr"],
                color=colour,
                marker=marker,
                label=label,
                markeredgecolor="white",
                markeredgewidth=0.6,
            )
        axes.set_title("Mean PSNR against noise level")
        axes.set_xlabel("noise level τ")
        axes.set_ylabel("PSNR ↑ (dB)")
        axes.set_xticks(taus)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        return style.save(figure, stem)


def _sheet(
    rows: Mapping[str, np.ndarray] | Sequence[tuple[str, np.ndarray]],
    heads: Sequence[str],
    title: str,
    *,
    curves: float = 0.0,
    breaks: int = 0,
) -> "Figure":
    """A figure of labelled rows of images with column heads; `curves` inches below are left as a second axes.

    `breaks` > 0 leaves a wider gap after every so many rows.
    """
    from matplotlib.figure import Figure

    rows = list(rows.items()) if isinstance(rows, Mapping) else list(rows)
    canvas, xs, ys = mosaic([images for _, images in rows], breaks=breaks)
    height, width = canvas.shape[:2]
    inches = min(0.95, 9.0 / max(len(heads), 1))  # side of one printed image
    per_pixel = inches / (xs[1] - xs[0] if len(xs) > 1 else width)
    size = (width * per_pixel + 2.0, height * per_pixel + 0.9 + curves)
    figure = Figure(figsize=(max(size[0], 4.5), size[1]), layout="constrained")
    ratios = (height * per_pixel + 0.5, curves) if curves else (1,)
    grid = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
    axes = figure.add_subplot(grid[0])
    axes.imshow(canvas, interpolation="none", aspect="equal")
    axes.set_anchor("W")
    axes.set_title(title, pad=8)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(
        length=0, labelsize=8.5, labelcolor=style.INK, top=False, bottom=False, labeltop=True, labelbottom=False
    )
    axes.set_yticks(ys, [label for label, _ in rows])
    axes.set_xticks(xs if any(heads) else [], heads if any(heads) else [])
    if any(len(head) > 9 for head in heads):
        axes.tick_params(axis="x", labelrotation=40)
        for text in axes.get_xticklabels():
            text.set_ha("left")
            text.set_rotation_mode("anchor")
    if curves:
        figure.add_subplot(grid[1])
    return figure


def mosaic(rows: Sequence[np.ndarray], *, breaks: int = 0) -> tuple[np.ndarray, list[float], list[float]]:
    """Rows of images (K, H, W, 3) uint8 -> one sheet (h, w, 4) uint8, transparent between images, and the centres.

    Images below SIDE pixels are enlarged by a whole factor, each pixel a square. Returns (sheet, column centres, row
    centres) in pixels of the sheet. Raises FigureError unless all images have one size and are uint8.
    """
    shapes = {(images.shape[1:], images.dtype) for images in map(np.asarray, rows)}
    if len(shapes) != 1 or next(iter(shapes))[1] != np.uint8 or len(next(iter(shapes))[0]) != 3:
        raise FigureError(f"a sheet takes uint8 images (H, W, 3) of one size, found {sorted(map(str, shapes))}")
    height, width = next(iter(shapes))[0][:2]
    factor = max(1, math.ceil(SIDE / min(height, width)))
    height, width = height * factor, width * factor
    gap = max(1, round(GAP * height))
    columns = max(len(images) for images in rows)
    tops, top = [], 0
    for index in range(len(rows)):
        if breaks and index and index % breaks == 0:
            top += 3 * gap
        tops.append(top)
        top += height + gap
    sheet = np.zeros((top - gap, columns * (width + gap) - gap, 4), np.uint8)
    for images, top in zip(rows, tops, strict=True):
        for column, image in enumerate(images):
            left = column * (width + gap)
            sheet[top : top + height, left : left + width, :3] = image.repeat(factor, 0).repeat(factor, 1)
            sheet[top : top + height, left : left + width, 3] = 255
    return sheet, [column * (width + gap) + width / 2 for column in range(columns)], [top + height / 2 for top in tops]


# -------------------------------------------------------------------------------------------------------------- curves
def read_curves(path: str | Path) -> list[dict]:
    """The lines of a curves.jsonl in order of their step; of a step written twice (a resumed run) the last one.

    Raises FigureError, naming file and line, for a line that is not a JSON object with a "step".
    """
    by_step: dict[int, dict] = {}
    for number, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
            by_step[line["step"]] = line
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise FigureError(f"{path}:{number}: not a JSON object with a step: {text[:80]!r}") from error
    return [by_step[step] for step in sorted(by_step)]


def read_runs(folder: str | Path, runs: Mapping[str, str]) -> dict[str, list[dict]]:
    """The curves of several trainings: {label: artifact, e.g. "tokenizer/detok_sb_joint"} -> {label: lines}.

    A training that left no curves.jsonl has no lines: it was not run.
    """
    files = {label: Path(folder) / artifact / "curves.jsonl" for label, artifact in runs.items()}
    return {label: read_curves(file) if file.is_file() else [] for label, file in files.items()}


def training_curves(
    stem: str | Path,
    *,
    runs: Mapping[str, Sequence[Mapping[str, float]]],
    scale: str,
    terms: Sequence[str] | None = None,
) -> list[Path]:
    """Write what `draw_curves` draws."""
    return style.save(draw_curves(runs=runs, scale=scale, terms=terms), stem)


def draw_curves(
    *, runs: Mapping[str, Sequence[Mapping[str, float]]], scale: str, terms: Sequence[str] | None = None
) -> "Figure":
    """One panel per term, one line per run: label -> lines {"step": ..., term: value, ...} (see `read_curves`).

    Without `terms`, all that any run logs; a run without lines is named as not run. A faint line is the log, a strong
    one its moving mean over a twentieth of the points. Panels of positive losses that change much are
    logarithmic.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    logged = dict.fromkeys(name for lines in runs.values() for line in lines for name in line)
    terms = list(terms or [name for name in logged if name not in ("step", "images", "lr")])
    columns = 2 if len(terms) == 4 else max(1, min(3, len(terms)))
    rows = math.ceil(len(terms) / columns) or 1
    with style.look():
        figure = Figure(figsize=(3.4 * columns + 0.6, 2.5 * rows + 0.9), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        marks = style.marks(runs)
        for axes, term in zip(panels, terms, strict=False):
            _term(
                axes,
                term,
                {
                    marks[label][0]: [(line["step"], line[term]) for line in lines if term in line]
                    for label, lines in runs.items()
                },
            )
        for axes in panels[len(terms) :]:
            axes.set_visible(False)
        handles = [
            Line2D([], [], color=colour, linewidth=3, label=label if runs[label] else f"{label} (not run)")
            for label, (colour, _) in marks.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=(2, 3, 5)[columns - 1])
        figure.supxlabel(f"Training curves (scale {scale})", fontsize=8, color=style.INK)
    return figure


def _term(axes: "Axes", term: str, runs: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """One panel: {colour: [(step, value), ...]}."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    lowest, highest = math.inf, -math.inf
    for colour, points in runs.items():
        if not points:
            continue
        steps, values = np.array(points, dtype=float).T
        lowest, highest = min(lowest, values.min()), max(highest, values.max())
        window = 1 if term == "lr" else max(1, len(values) // 20)
        axes.plot(
            steps,
            values,
            color=colour,
            alpha=0.25 if window > 1 else 1.0,
            linewidth=1.0,
            marker="o" if len(values) < 3 else None,
            markersize=3,
        )
        if window > 1:
            box = np.ones(window)
            mean = np.convolve(values, box, "same") / np.convolve(np.ones_like(values), box, "same")
            axes.plot(steps, mean, color=colour, linewidth=1.6)
    if lowest > 0 and highest > 3 * lowest and term != "lr":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    axes.set_title(term)
    axes.set_xlabel("step")
