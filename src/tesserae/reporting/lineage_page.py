"""Text of the lineage page: its HTML, style and script. Python text, so that a change of it is a change of code.

The script reads the embedded data and the location's hash: nothing (the list of numbers), an artifact, or a cell. It
draws what the selected artifact was made from, producers to the left (above, on narrow screens), and tells all of its
facts. All text enters the page as text nodes; every box is a link, so the browser's back and the keyboard work.
"""

CONTENT = """
<style>
{{ style }}
</style>
<header>
<h1><a href="#">Lineage</a></h1>
<p class="quiet">Scale <b>{{ scale }}</b>. What each number was made from, as the manifests tell it
{%- if verified %} and as their files were when this page was written{% endif %}.
{%- if home %} <a href="{{ home }}">To the report</a>{% endif %}</p>
<form id="find"><label>Artifact <input list="names" name="name" autocomplete="off" placeholder="stage/recipe"></label>
<datalist id="names"></datalist></form>
<noscript><p><b>This page is drawn by a script, which is switched off.</b> <code>tesserae trace</code> prints the same
in a terminal.</p></noscript>
</header>
<main>
<section id="start">
{%- for table in tables %}
<h2>{{ table.source }}: {{ table.title }}</h2>
<div class="wide"><table class="list">
<thead><tr><th scope="col">Measured</th>
{%- for column in table.columns %}<th scope="col" class="time">{{ column }}</th>{% endfor -%}
</tr></thead>
<tbody>
{%- for row, numbers in table.rows.items() %}
<tr><th scope="row">{{ row }}</th>
{%- for column in table.columns -%}
<td class="time">{% if numbers.get(column) %}<a href="#{{ anchor(table.table, row, column) }}">{{ numbers[column] }}</a>
{%- else %}–{% endif %}</td>
{%- endfor %}</tr>
{%- endfor %}
</tbody>
</table></div>
{%- endfor %}
<h2>Artifacts</h2>
{%- for stage, recipes in stages.items() %}
<details{% if recipes | length <= 40 %} open{% endif %}><summary>{{ stage }} <span class="quiet">{{ recipes | length }}
</span></summary>
<p class="names">
{%- for recipe in recipes %}<a href="#{{ anchor(stage ~ '/' ~ recipe) }}">{{ recipe }}</a> {% endfor -%}
</p></details>
{%- endfor %}
</section>
<section id="unknown" hidden></section>
<section id="shown" hidden>
<h2 id="name" tabindex="-1"></h2>
<div id="graph"></div>
<div id="notes"></div>
<div id="panel"></div>
</section>
</main>
<script type="application/json" id="data">{{ data }}</script>
<script>
{{ script }}
</script>
""".strip()

STYLE = """
:root { --bad: #b3261e; --warn: #8a5a00; --chosen: #e3eefb; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --warn: #ffc266; --chosen: #17324f; } }
body.tesserae { max-width: 1500px; }
body.tesserae { padding-top: 1.2rem; }
header { display: flex; flex-wrap: wrap; gap: .2rem 1.5rem; align-items: baseline; }
body.tesserae h1 { font-size: 1.3rem; margin: 0; }
body.tesserae h1 a { color: inherit; text-decoration: none; }
body.tesserae h2 { margin-top: 1.4rem; }
#find { margin-left: auto; font-size: .9rem; }
#find input { font: inherit; width: min(17rem, 60vw); padding: .25rem .5rem; color: inherit; background: var(--card);
  border: 1px solid var(--rule); border-radius: 4px; }
.names { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; max-width: none !important; }
summary { cursor: pointer; font-weight: 600; margin: .5rem 0 0; }
#start .list { width: auto; min-width: min(100%, 60rem); }
#graph { overflow-x: auto; margin: .8rem 0 0; padding: .2rem 0; }
#notes { margin: .4rem 0 .8rem; padding-bottom: .6rem; border-bottom: 1px solid var(--rule); }
#notes p { max-width: none; }
#graph svg { display: block; margin: 0 auto;
  font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
#graph rect { fill: var(--card); stroke: var(--quiet); stroke-opacity: .55; }
#graph text { fill: var(--ink); }
#graph .small { fill: var(--quiet); font-size: 10.5px; }
#graph .warn { fill: var(--warn); }
#graph path { fill: none; stroke: var(--quiet); stroke-opacity: .55; stroke-width: 1.2; }
#graph a { text-decoration: none; }
#graph a:hover rect, #graph a:focus-visible rect { stroke: var(--link); stroke-opacity: 1; stroke-width: 2; }
#graph a:focus { outline: none; }
#graph a:focus-visible text.link, #graph a:hover text.link { text-decoration: underline; }
#graph text.link { fill: var(--link); }
#graph .chosen rect { fill: var(--chosen); stroke: var(--link); stroke-opacity: 1; stroke-width: 2; }
#graph .bad rect { stroke: var(--bad); stroke-opacity: 1; stroke-width: 2; }
#graph .missing rect { stroke-dasharray: 5 3; }
#graph .number { font-size: 17px; font-weight: 700; }
#panel { display: grid; gap: 0 2.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
#panel > div { min-width: 0; }
#panel h3 { margin: 1.2rem 0 .3rem; }
#panel dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem; margin: 0;
  font-size: .9rem; }
#panel dt { color: var(--quiet); }
#panel dd { margin: 0; overflow-wrap: anywhere; }
#panel .list td { overflow-wrap: anywhere; }
#panel .list td:first-child { overflow-wrap: break-word; }
#panel .list code { display: block; color: var(--quiet); }
#panel .figure { font-size: 1.9rem; font-weight: 700; line-height: 1.2; margin: .2rem 0 .4rem; }
.bad-text { color: var(--bad); }
.warn-text { color: var(--warn); font-weight: 600; }
@media (max-width: 760px) { body.tesserae { padding: 1rem 1rem 3rem; } #find { margin-left: 0; }
  #panel .list td:first-child { overflow-wrap: anywhere; } }
""".strip()

SCRIPT = r"""
"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const ARTIFACTS = DATA.artifacts, CELLS = DATA.cells;
const SVG = "http://www.w3.org/2000/svg";
const GROUPED = 40;  // more boxes than that are drawn one per stage
const BOXED = 24;    // names in such a box
const LISTED = 60;   // names in a list
const FONT = '12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';
const WIDE = 165, SLIM = 110;  // of a box
ARTIFACTS.forEach(a => { a.id = a.stage + "/" + a.recipe; a.readers = []; a.problems = []; });
ARTIFACTS.forEach((a, at) => a.in.forEach(producer => ARTIFACTS[producer].readers.push(at)));
const BY_ID = new Map(ARTIFACTS.map((a, at) => [a.id, at]));
DATA.problems.forEach(p => { if (BY_ID.has(p.artifact)) ARTIFACTS[BY_ID.get(p.artifact)].problems.push(p); });

// ---- small helpers ----
function make(space, tag, attributes, children) {
  const element = space ? document.createElementNS(space, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) if (value !== "") element.setAttribute(name, value);
  element.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== ""));
  return element;
}
const h = (tag, attributes, ...children) => make(null, tag, attributes, children);
const s = (tag, attributes, ...children) => make(SVG, tag, attributes, children);
const path = parts => parts.map(encodeURIComponent).join("/");
const hashOf = artifact => "#" + path([artifact.stage, artifact.recipe]);
const cellHash = cell => "#" + path([...ARTIFACTS[cell.table].id.split(/\/(.*)/s, 2), cell.row, cell.column]);
const fileAt = place => DATA.top + "/" + path(place.split("/").filter(part => part !== "" && part !== "."));
const fileOf = (artifact, name) => fileAt(artifact.folder + "/" + name);
const number = value => typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value);
const pen = document.createElement("canvas").getContext("2d");
pen.font = FONT;
const widthOf = text => pen.measureText(text).width;
function cut(text) {
  let shown = text;
  while (widthOf(shown) > WIDE - 16) shown = shown.slice(0, shown.endsWith("…") ? -2 : -1) + "…";
  return shown;
}
const link = artifact => h("a", {href: hashOf(artifact)}, artifact.id);
const plural = (count, word) => count + " " + word + (count === 1 ? "" : "s");

// ---- what the location's hash names ----
function target() {
  let text = location.hash.slice(1);
  try { text = decodeURIComponent(text); } catch { return {unknown: text}; }
  if (text === "") return {};
  if (BY_ID.has(text)) return {at: BY_ID.get(text)};
  const same = (cell, row) => `${ARTIFACTS[cell.table]?.id}/${row}/${cell.column}` === text;
  const cell = CELLS.find(cell => same(cell, cell.row)) || CELLS.find(cell => same(cell, cell.key));
  if (cell) return {cell, at: cell.seeds.length ? cell.seeds[0][0] : cell.table};
  return {unknown: text};
}

function upstream(places) {
  const seen = new Set(), todo = [...places];
  while (todo.length) {
    const one = todo.pop();
    if (!seen.has(one)) { seen.add(one); todo.push(...ARTIFACTS[one].in); }
  }
  return seen;
}

// ---- the graph ----
// Boxes of what is shown: {members, in (set of boxes), layer, lines}. A cell adds its table and the number itself.
function boxes(at, cell) {
  const starts = cell ? cell.seeds.map(([place]) => place) : [at];
  const shown = upstream(starts), order = new Map(), grouped = shown.size > GROUPED;
  const layer = one => {
    if (order.has(one)) return order.get(one);
    order.set(one, 0);  // manifests that contradict themselves might go in circles
    order.set(one, 1 + Math.max(-1, ...ARTIFACTS[one].in.map(layer)));
    return order.get(one);
  };
  const found = new Map(), boxOf = new Map();
  for (const one of [...shown].sort((a, b) => a - b)) {
    const key = grouped && !starts.includes(one) ? layer(one) + " " + ARTIFACTS[one].stage : String(one);
    if (!found.has(key)) found.set(key, {members: [], in: new Set(), layer: layer(one)});
    found.get(key).members.push(one);
    boxOf.set(one, found.get(key));
  }
  for (const one of shown) for (const producer of ARTIFACTS[one].in) {
    if (boxOf.get(producer) !== boxOf.get(one)) boxOf.get(one).in.add(boxOf.get(producer));
  }
  const list = [...found.values()];
  if (cell) {
    let last = new Set(starts.map(start => boxOf.get(start)));
    const after = () => 1 + Math.max(-1, ...[...last].map(box => box.layer));
    if (cell.table !== null) {
      last = new Set([{members: [cell.table], in: last, layer: after()}]);
      list.push(...last);
    }
    list.push({members: [], cell, in: last, layer: after()});
  }
  list.forEach(box => { box.chosen = box.members.length === 1 && [at, ...starts].includes(box.members[0]); });
  return list;
}

// Places in each layer, so that lines are short and seldom cross. A line over several layers goes through a thin
// placeholder in each of them; all lines of one box share these.
function arrange(list, down) {
  const layers = [];
  const put = (item, layer) => { (layers[layer] ||= []).push(item); item.layer = layer; return item; };
  const lines = [];
  list.forEach(box => {
    const long = box.members.length > 1 ? Math.min(box.members.length, BOXED + 1) : 0;
    box.height = box.cell ? 62 : long ? 26 + 16 * long : 46;
    const names = box.cell ? [box.cell.row, box.cell.column] : box.members.map(at => ARTIFACTS[at].recipe);
    const headings = box.members.map(at => heading(ARTIFACTS[at]));
    box.width = Math.min(WIDE, Math.max(SLIM, ...[...names, ...headings].map(text => 18 + widthOf(text))));
    put(box, box.layer);
    box.lines = [];
  });
  list.forEach(box => {
    const readers = list.filter(other => other.in.has(box));
    let from = box;
    for (let layer = box.layer + 1; readers.some(reader => reader.layer >= layer); layer++) {
      for (const reader of readers) if (reader.layer === layer) lines.push([from, reader]);
      if (!readers.some(reader => reader.layer > layer)) break;
      const thin = put({thin: true, height: 6, width: 6, lines: []}, layer);
      lines.push([from, thin]);
      from = thin;
    }
  });
  lines.forEach(line => line.forEach(end => end.lines.push(line)));
  const extent = item => (down ? item.width : item.height);
  const gap = (a, b) => (extent(a) + extent(b)) / 2 + (a.thin || b.thin ? 12 : 16);
  layers.forEach(layer => layer.reduce((at, item, index) => {
    item.at = index ? at + gap(layer[index - 1], item) : 0;
    return item.at;
  }, 0));
  const wanted = item => {
    const ends = item.lines.map(([a, b]) => (a === item ? b : a).at);
    return ends.length ? ends.reduce((sum, at) => sum + at, 0) / ends.length : item.at;
  };
  for (let sweep = 0; sweep < 60; sweep++) {
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) {
      const wishes = new Map(layer.map(item => [item, wanted(item)]));
      if (sweep < 16) layer.sort((a, b) => wishes.get(a) - wishes.get(b));
      layer.forEach((item, index) => {
        const least = index ? layer[index - 1].at + gap(layer[index - 1], item) : -Infinity;
        item.at = Math.max(wishes.get(item), least);
      });
      const off = layer.reduce((sum, item) => sum + item.at - wishes.get(item), 0) / layer.length;
      layer.forEach(item => { item.at -= off; });
    }
  }
  const items = layers.flat(), least = Math.min(...items.map(item => item.at - extent(item) / 2));
  items.forEach(item => { item.at -= least; });
  const depth = layers.map(layer => Math.max(...layer.map(item => (down ? item.height : item.width))));
  const along = depth.map((_, index) => depth.slice(0, index).reduce((sum, size) => sum + size + 26, 0));
  items.forEach(item => {
    if (!down && !item.thin) item.width = depth[item.layer];
    const middle = along[item.layer] + depth[item.layer] / 2;
    [item.x, item.y] = down ? [item.at, middle] : [middle, item.at];
    if (item.thin) item[down ? "height" : "width"] = depth[item.layer];
  });
  return {
    lines,
    width: Math.max(...items.map(item => item.x + item.width / 2)),
    height: Math.max(...items.map(item => item.y + item.height / 2)),
  };
}

const isDirty = artifact => artifact.commit !== undefined && DATA.commits[artifact.commit][1];
const heading = artifact => `${artifact.stage}  ${artifact.missing ? "no manifest" : artifact.took}`;

function curve([a, b], down) {
  const half = item => (down ? item.height : item.width) / 2;
  const main = down ? "y" : "x", side = down ? "x" : "y";
  const [m1, s1, m2, s2] = [a[main] + half(a), a[side], b[main] - half(b), b[side]], bend = (m2 - m1) / 2;
  const point = (along, across) => (down ? across + "," + along : along + "," + across);
  const through = a.thin ? `M${point(a[main] - half(a), s1)}L${point(m1, s1)}` : `M${point(m1, s1)}`;
  return `${through}C${point(m1 + bend, s1)} ${point(m2 - bend, s2)} ${point(m2, s2)}`;
}

function drawBox(box) {
  const left = box.x - box.width / 2, top = box.y - box.height / 2;
  const rect = () => s("rect", {x: left, y: top, width: box.width, height: box.height, rx: 5});
  const text = (words, y, kind) => s("text", {x: left + 9, y: top + y, class: kind || ""}, words);
  if (box.cell) {
    const cell = box.cell;
    const label = `${cell.source}, ${cell.row}, ${cell.column}`;
    return s("g", {class: cell.problems.length ? "bad" : "chosen"}, s("title", {}, label), rect(),
      text(cell.measured === null ? "no number" : number(cell.measured), 22, "number"),
      text(cut(cell.row), 39, "small"), text(cut(cell.column), 53, "small"));
  }
  const all = box.members.map(at => ARTIFACTS[at]);
  if (all.length > 1) {
    const names = all.slice(0, BOXED).map((artifact, index) => s("a", {href: hashOf(artifact)},
      text(cut(artifact.recipe), 36 + 16 * index, "link"), s("title", {}, artifact.id)));
    const more = all.length > BOXED ? text(`and ${all.length - BOXED} more`, 36 + 16 * BOXED, "small") : null;
    return s("g", {class: all.some(a => a.problems.length) ? "bad" : ""}, rect(),
      text(`${all[0].stage} (${all.length})`, 17, "small"), names, more);
  }
  const artifact = all[0], dirty = isDirty(artifact);
  const kind = [box.chosen ? "chosen" : "", artifact.problems.length ? "bad" : "", artifact.missing ? "missing" : ""];
  return s("a", {href: hashOf(artifact), class: kind.join(" ").trim(), "aria-current": box.chosen ? "true" : "",
    "aria-label": `${artifact.id}${box.chosen ? ", shown below" : ""}`},
    s("title", {}, artifact.id + (dirty ? ", made with uncommitted changes" : "")), rect(),
    text(heading(artifact), 18, "small"),
    dirty ? s("text", {x: left + box.width - 8, y: top + 18, "text-anchor": "end", class: "warn"}, "●") : null,
    text(cut(artifact.recipe), 35));
}

const narrow = matchMedia("(max-width: 760px)");
function drawGraph(at, cell) {
  const down = narrow.matches, list = boxes(at, cell), plan = arrange(list, down), margin = 4;
  const [width, height] = [plan.width + 2 * margin, plan.height + 2 * margin];
  const lines = plan.lines.map(line => s("path", {d: curve(line, down)}));
  const items = list.sort((a, b) => a.layer - b.layer || a.at - b.at).map(drawBox);
  const svg = s("svg", {viewBox: `${-margin} ${-margin} ${width} ${height}`, role: "group",
    "aria-label": "What this was made from", style: `width:100%;max-width:${width}px;min-width:${0.7 * width}px`},
    lines, items);
  const box = document.getElementById("graph");
  const shown = list.flatMap(item => item.members).map(place => ARTIFACTS[place]);
  const problems = shown.flatMap(artifact => artifact.problems.map(problem =>
    h("p", {class: "bad-text"}, link(artifact), `: ${problem.where.replace(/^results\/.*\//, "")}: ${problem.what}`)));
  const note = shown.some(isDirty) ? h("p", {class: "quiet"}, h("span", {class: "warn-text"}, "● "),
    "made from a tree with uncommitted changes; the code that ran is stored beside the results") : null;
  box.replaceChildren(svg);
  document.getElementById("notes").replaceChildren(...problems, ...(note ? [note] : []));
  box.scrollLeft = down ? (box.scrollWidth - box.clientWidth) / 2 : box.scrollWidth;
}

// ---- the panel ----
const facts = rows => h("dl", {}, rows.filter(row => row).map(
  ([name, ...value]) => [h("dt", {}, name), h("dd", {}, value)]));
const head = names => h("thead", {}, h("tr", {}, names.map(name => h("th", {scope: "col"}, name))));
const sheet = (names, rows) => h("div", {class: "wide"}, h("table", {class: "list"}, head(names),
  h("tbody", {}, rows.map(row => h("tr", {}, row.map(field => h("td", {}, field)))))));
const part = (name, ...content) => [h("h3", {}, name), content];
const FOUND = {changed: "changed since", missing: "not there any more", same: "as recorded",
  "not here": "not on this machine"};

function fileRow(name, href, bytes, hash, found) {
  const fine = found === "same" || found === "not here";
  const state = found ? h("span", {class: fine ? "quiet" : "bad-text"}, FOUND[found]) : null;
  return [[href ? h("a", {href}, name) : name, state ? " " : null, state],
    [`${bytes.toLocaleString("en")} bytes`, h("code", {}, hash)]];
}

function names(places) {
  const all = places.map(at => ARTIFACTS[at]);
  const shown = h("p", {class: "names"}, all.slice(0, LISTED).map(artifact => [link(artifact), " "]));
  if (all.length <= LISTED) return shown;
  const rest = h("p", {class: "names"}, all.slice(LISTED).map(artifact => [link(artifact), " "]));
  return [shown, h("details", {}, h("summary", {}, `${all.length - LISTED} more`), rest)];
}

function cellPart(cell) {
  const [id, measure] = DATA.measures[cell.measure], table = ARTIFACTS[cell.table];
  const shown = cell.measured === null ? "no number" : number(cell.measured), several = cell.seeds.length > 1;
  const by = cell.seeds.flatMap(([at, value], index) =>
    [index ? h("br") : null, link(ARTIFACTS[at]), `, ${cell.value}`, several ? " " + String(value) : null]);
  return [
    part("Number", h("p", {class: "figure"}, shown),
      cell.reason ? h("p", {class: "warn-text"}, "not run: " + cell.reason) : null,
      cell.problems.map(text => h("p", {class: "bad-text"}, text)),
      facts([["measured", cell.measured === null ? "nothing" : String(cell.measured) +
          (several ? `, the mean of ${cell.seeds.length} seeds (sd ${cell.sd})` : "")],
        ["published", cell.printed || "blank"],
        table ? ["table", link(table), ", ", h("a", {href: fileOf(table, "table.html")}, "table.html")] : null,
        cell.seeds.length ? ["by", by] : null])),
    measure ? part("Measure " + id, facts(measure)) : null];
}

function artifactParts(artifact, cell) {
  const title = cell && cell.seeds.length ? part("Measured by " + artifact.id) : null;
  const files = sheet(["File", "Content (sha256)"], artifact.out.map(([name, bytes, hash, found]) =>
    fileRow(name, fileOf(artifact, name), bytes, hash, found)));
  if (artifact.missing) {
    return [h("div", {}, cell ? cellPart(cell) : null, title, part("Read as", files)),
      h("div", {}, part("Read by", names(artifact.readers)))];
  }
  const [commit, dirty] = DATA.commits[artifact.commit], environment = DATA.environments[artifact.environment];
  const state = dirty ? h("span", {class: "warn-text"}, " with uncommitted changes") : commit ? " (clean)" : null;
  const modules = DATA.sets[artifact.modules].map(at => DATA.modules[at]);
  const numbers = Object.entries(artifact.numbers || {});
  const run = artifact.run ? [`run ${artifact.run.run_id} in `] : [];
  const left = h("div", {}, title || part("How it was made"),
    facts([
      ["fingerprint", h("code", {}, artifact.fingerprint)],
      ["started", artifact.started], ["took", artifact.took + (artifact.peak ? `, ${artifact.peak} MB at most` : "")],
      ["seed", artifact.seed === undefined ? "none" : String(artifact.seed)],
      ["commit", commit ? h("code", {}, commit) : h("span", {class: "warn-text"}, "none: no git repository"), state],
      ["machine", DATA.machines[artifact.machine]],
      ["environment", `Python ${environment.python}, ${environment.platform}`],
      ["libraries", Object.entries(environment.libraries).map(pair => pair.join(" ")).join(", ")],
      artifact.mlflow ? ["MLflow", run, `experiment ${artifact.mlflow}, tagged with the fingerprint`] : null,
      ["manifest", h("a", {href: fileOf(artifact, "manifest.json")}, "manifest.json")],
    ]),
    numbers.length ? part("Numbers", facts(numbers.map(([name, value]) => {
      const cell = CELLS.find(cell => ARTIFACTS[cell.table] === artifact && `${cell.row}/${cell.column}` === name);
      return [name, cell ? h("a", {href: cellHash(cell)}, String(value)) : String(value)];
    }))) : null,
    part("Files", files),
    artifact.sources.length ? part("Sources (tracked by git)", sheet(["File", "Content (sha256)"], artifact.sources.map(
      ([name, bytes, hash, kept, found]) => fileRow(name, kept ? fileAt(kept) : "", bytes, hash, found)))) : null,
    artifact.weights ? part("Published weights (kept outside the project)", sheet(["File", "Content (sha256)"],
      [fileRow(artifact.weights[0], "", ...artifact.weights.slice(1))])) : null,
    artifact.data ? part("Images (kept outside the project)", sheet(["Folder", "Names and contents (sha256)"],
      [fileRow(artifact.data[0], "", ...artifact.data.slice(1))])) : null,
    artifact.in.length ? part("Made from", names(artifact.in)) : null,
    artifact.readers.length ? part("Read by", names(artifact.readers)) : null);
  const code = sheet(["Module", "Meaning"], modules.map(([name, digest, kept]) => [
    kept ? h("a", {href: fileAt(`code/${name}/${digest}.py`)}, name) : name,
    [digest, artifact.equivalents?.[name] ? ` counts as ${artifact.equivalents[name]} (reviewed)` : null]]));
  const settings = artifact.spec.map(at => DATA.settings[at]);
  const columns = settings.some(([, , from]) => from) ? ["Setting", "Value", "From"] : ["Setting", "Value"];
  const spec = sheet(columns, settings.map(row => row.slice(0, columns.length)));
  const right = h("div", {}, cell ? cellPart(cell) : null, part("Spec", spec),
    part("Code", h("details", {}, h("summary", {}, plural(modules.length, "module")), code)));
  return cell ? [right, left] : [left, right];
}

// ---- showing it ----
function show(moved) {
  const found = target(), section = id => document.getElementById(id);
  const known = found.at !== undefined;
  section("start").hidden = known || found.unknown !== undefined;
  section("unknown").hidden = found.unknown === undefined;
  section("shown").hidden = !known;
  let title = "Lineage";
  if (found.unknown !== undefined) {
    section("unknown").replaceChildren(h("p", {class: "bad-text"}, `There is no ${found.unknown} on this page.`),
      h("p", {}, h("a", {href: "#"}, "What there is")));
  }
  if (known) {
    const artifact = ARTIFACTS[found.at], cell = found.cell;
    title = cell ? `${cell.source}: ${cell.row}, ${cell.column}` : artifact.id;
    section("name").textContent = title;
    drawGraph(found.at, cell);
    section("panel").replaceChildren(...artifactParts(artifact, cell));
    if (moved) { section("name").focus({preventScroll: true}); section("name").scrollIntoView(); }
  }
  document.title = `${title} (${DATA.scale})`;
}

const options = ARTIFACTS.map(artifact => h("option", {value: artifact.id}));
document.getElementById("names").append(...options);
const form = document.getElementById("find");
function go(event) {
  const text = form.elements.name.value.trim();
  if (event.type === "submit") event.preventDefault();
  const wanted = BY_ID.has(text) ? ARTIFACTS[BY_ID.get(text)] : null;
  if (wanted) location.hash = hashOf(wanted);
  else if (event.type === "submit") location.hash = "#" + encodeURIComponent(text);
}
form.addEventListener("submit", go);
form.addEventListener("change", go);
addEventListener("hashchange", () => show(true));
narrow.addEventListener("change", () => show(false));
if (location.hash === "" && DATA.start) history.replaceState(null, "", "#" + DATA.start);
show(false);
""".strip()
