"""Stage `notebook`: a paper's notebook, executed on a scale's results, and as a page."""

import ast

import nbformat
import papermill
from nbconvert import HTMLExporter

from tesserae.lineage.work import Work

# nbconvert's page, without what it fetches from a public server: scripts for widgets, formulas and diagrams, of which
# there are none here.
WITHOUT_SCRIPTS = "{% extends 'lab/index.html.j2' %}" + "".join(
    f"{{% block {name} %}}{{% endblock %}}"
    for name in ("html_head_js", "html_head_js_mathjax", "html_head_js_mermaidjs", "jupyter_widgets")
)


def run(work: Work) -> None:
    """Writes notebook.ipynb and notebook.html. Fails, naming the cell, if a cell does."""
    source = work.sources["notebook"]
    _covered(nbformat.read(source, as_version=4), work.spec["modules"], source.name)
    executed = papermill.execute_notebook(
        source,
        None,
        parameters={"results": f"results/{work.spec['scale']}", "scale": work.spec["scale"]},
        kernel_name="python3",
        cwd=work.root,
        progress_bar=False,
    )
    _without_chance(executed)
    nbformat.write(executed, work.out / "notebook.ipynb")
    (work.out / "notebook.html").write_text(page_of(executed), encoding="utf-8")


def page_of(executed: nbformat.NotebookNode) -> str:
    """An executed notebook as a page of HTML that asks nothing of the network."""
    exporter = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True, raw_template=WITHOUT_SCRIPTS)
    return exporter.from_notebook_node(executed)[0]


def _without_chance(executed: nbformat.NotebookNode) -> None:
    """Take out what would make every run another file: times, and papermill's random name of the cell that it adds."""
    for cell in executed.cells:
        for noise in ("papermill", "execution"):
            cell.metadata.pop(noise, None)
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell["id"] = "injected-parameters"
    executed.metadata.pop("papermill", None)


def _covered(notebook: nbformat.NotebookNode, modules: list[str], name: str) -> None:
    """What a notebook imports runs in another process: it must be in the spec, and so in the fingerprint."""
    imported = set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tesserae"):
                imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names if alias.name.startswith("tesserae")}
    uncovered = [
        module
        for module in sorted(imported)
        if module not in modules
        and not any(known.startswith(module + ".") or module.startswith(known + ".") for known in modules)
    ]
    if uncovered:
        raise ValueError(
            f"{name} imports {', '.join(uncovered)}: add it to NOTEBOOK_MODULES in workflow/graph/report.py"
        )


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("notebook")
