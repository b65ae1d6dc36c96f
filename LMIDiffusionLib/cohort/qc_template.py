"""Template of the QC page: HTML, style and script of one file that loads nothing from elsewhere."""

from .qc_images import GAP, PLANES, SIDE

_ROWS = round(100 * (3 * (SIDE + GAP) - GAP) / SIDE, 3)

# The title comes first: the start of the file tells whose it is.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<style>{{ style }}</style>
</head>
<body>
<header>
<h1>Translated scans</h1>
<p>Of {{ scans | length + failures | length + left }} scans
{{ scans | length }} are translated, {{ noticed }} of them with a notice; {{ failures | length }} could not be.
{% if unusual %}{{ unusual }} have an unusual volume: far from the median of the others.{% endif %}
{% if unsure %}{{ unsure }} have an unusually large expected error: look at them first.{% endif %}</p>
{% if left %}<p class="mark">This run is not finished: {{ left }} {{ "scan is" if left == 1 else "scans are" }} left.
Reload this page later, or run the same command to continue.</p>{% endif %}
<p>{% for each in made %}{{ each }}. {% endfor %}Page of {{ date }}.</p>
<p>Volumes are estimates from a synthetic image, for research, not for diagnosis or treatment. Check: does the outline
follow the brain? Is white matter labeled gray? Are lesions lost? Compare scans of the same contrast only.</p>
<p>{% if scans | length < fewest %}Notices are marked. There are too few scans to tell which volume is unusual: from
{{ fewest }} on, those far from the median are marked too.{% else %}
Marked: a notice, or a volume or expected error that is more than {{ far }} robust standard deviations from the median
of all scans (MAD x 1.48).{% endif %}</p>
<p class="controls">
<label>Sort by <select id="order">
<option value="place">name</option>
<option value="marks" data-down>marked first</option>
{% if has_errors %}<option value="error" data-down>expected error, largest first</option>{% endif %}
{% for name in names %}
<option value="{{ loop.index0 }}">{{ name }}, smallest first</option>
<option value="{{ loop.index0 }}" data-down>{{ name }}, largest first</option>
{% endfor %}
</select></label>
<label><input type="checkbox" id="marked"> only marked scans</label>
<a download="volumes.csv" href="data:text/csv;base64,{{ table }}">Download the table of volumes</a>
</p>
</header>
{% for name, reason in failures %}
<article class="failed"><h2>{{ name }}</h2><p class="mark">{{ reason }}</p></article>
{% endfor %}
<main>
{% for scan in scans %}
<article data-place="{{ loop.index0 }}" data-marks="{{ scan.marks }}"
{%- if scan.error is not none %} data-error="{{ scan.error }}"{% endif %}
{%- for column, amount in scan.columns %} data-{{ column }}="{{ amount }}"{% endfor %}>
<h2>{{ scan.name }}</h2>
<ul>
{% for volume in scan.volumes %}
<li{% if volume.remark %} class="mark" title="{{ volume.remark }}"{% endif %}>
<i style="background: {{ volume.color }}"></i><span>{{ volume.name }}</span>
<span>{{ "%.0f" | format(volume.milliliters) }} ml</span>
{%- if volume.remark %}<small>{{ volume.remark }}</small>{% endif %}</li>
{% endfor %}
{% if scan.error is not none %}
<li{% if scan.error_remark %} class="mark" title="{{ scan.error_remark }}"{% endif %}>
<span title="of the translation, mean over the head; intensities go from 0 to 1">expected error</span>
<span>{{ "%.3f" | format(scan.error) }}</span>
{%- if scan.error_remark %}<small>{{ scan.error_remark }}</small>{% endif %}</li>
{% endif %}
</ul>
{% for notice in scan.notices %}<p class="mark">{{ notice }}</p>{% endfor %}
<button type="button" style="--picture: url('{{ scan.picture }}')" aria-label="Enlarge the pictures of {{ scan.name }}">
{% for view in ("Source", "Translation", "Segmentation") %}
<span>{{ view }}{% if loop.first %}: {{ scan.outlines }}{% endif %}
<i role="img" aria-label="{{ view }} of {{ scan.name }} in five planes"></i></span>
{% endfor %}
</button>
</article>
{% endfor %}
</main>
<dialog id="large"><h2></h2><div></div></dialog>
<script>{{ script }}</script>
</body>
</html>
"""

STYLE = (
    """
:root { color-scheme: light dark; --line: light-dark(#ccc, #555); --mark: light-dark(#a30, #f96); }
body { margin: 0 auto; max-width: 110rem; padding: 0 1rem; font: 14px/1.4 system-ui, sans-serif; }
h1 { margin: 1rem 0 .5rem; } h2 { margin: 0 0 .4rem; font-size: 1em; overflow-wrap: anywhere; }
p { margin: 0 0 .4em; overflow-wrap: anywhere; }
.controls { display: flex; flex-wrap: wrap; gap: .4em 1.5em; align-items: baseline; margin: .8em 0; }
article { padding: .6rem 0; border-top: 1px solid var(--line); }
button { display: block; width: 100%; max-width: SHEETpx; overflow-x: auto; padding: 0; border: 0; background: none;
  color: inherit; font: inherit; text-align: left; cursor: zoom-in; }
button span { display: block; min-width: 50rem; }
span > i, #large i { display: block; aspect-ratio: SHEET / TILE;
  background: #000 var(--picture) 0 0 / 100% ROWS% no-repeat; }
span:nth-of-type(2) > i, #large i:nth-of-type(2) { background-position: 0 50%; }
span:nth-of-type(3) > i, #large i:nth-of-type(3) { background-position: 0 100%; }
ul { display: flex; flex-wrap: wrap; gap: .2rem 2.5rem; margin: 0 0 .4rem; padding: 0; list-style: none; }
li { display: flex; flex-wrap: wrap; gap: 0 .4em; align-items: baseline; min-width: 7.5rem; }
li i { flex: none; width: .8em; height: .8em; border: 1px solid #888; }
li span:last-of-type { margin-left: auto; white-space: nowrap; font-variant-numeric: tabular-nums; }
li small { font-weight: normal; } .mark { color: var(--mark); } li.mark { font-weight: bold; }
dialog { width: min(96vw, 160vh, 110rem); max-width: none; max-height: none; overflow: auto; padding: .6rem; border: 0;
  cursor: zoom-out; }
dialog::backdrop { background: rgb(0 0 0 / .8); }
#large i { min-width: 80rem; margin-bottom: .3rem; }
""".replace("SHEET", str(PLANES * (SIDE + GAP) - GAP))
    .replace("TILE", str(SIDE))
    .replace("ROWS", str(_ROWS))
)

SCRIPT = """
"use strict";
const main = document.querySelector("main");
const scans = [...main.children];
const order = document.getElementById("order");
const marked = document.getElementById("marked");
const large = document.getElementById("large");
const sort = () => {
  const chosen = order.selectedOptions[0];
  const down = "down" in chosen.dataset ? -1 : 1;
  const value = (scan) => Number(scan.getAttribute(`data-${chosen.value}`) ?? Infinity * down);
  main.append(...scans.sort((a, b) => down * (value(a) - value(b)) || a.dataset.place - b.dataset.place));
};
const filter = () => scans.forEach((scan) => { scan.hidden = marked.checked && scan.dataset.marks === "0"; });
const shown = () => scans.filter((scan) => !scan.hidden);
let current = null;
const enlarge = (scan) => {
  current = scan;
  large.querySelector("h2").textContent = scan.querySelector("h2").textContent;
  const pictures = large.querySelector("div");
  pictures.setAttribute("style", scan.querySelector("button").getAttribute("style"));
  pictures.replaceChildren(...[...scan.querySelectorAll("button i")].map((picture) => picture.cloneNode()));
  if (!large.open) large.showModal();
};
order.addEventListener("change", sort);
marked.addEventListener("change", filter);
main.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) enlarge(button.parentElement);
});
large.addEventListener("click", () => large.close());
large.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const next = step && shown()[shown().indexOf(current) + step];
  if (next) { event.preventDefault(); enlarge(next); }
});
"""
