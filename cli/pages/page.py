"""The HTML page around the report's charts: one file, no address outside it, light or dark as the reader's system is.

plotly's JavaScript is put in once (5 MB); figures follow as JSON. Every text that came from a run passes through
``escape``, and JSON has its "<" written as an escape, so that no document can end a script.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark;
  --ground: #fbfbfa; --card: #ffffff; --ink: #1f2328; --soft: #5f6670; --line: #e3e4e6; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #15171a; --card: #1c1f23; --ink: #e4e6e9; --soft: #9aa1aa; --line: #31353b; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 20px; margin: 0 0 4px; }
h3 { font-size: 16px; margin: 20px 0 4px; }
p { margin: 0 0 12px; max-width: 72ch; }
p.note, .sub { color: var(--soft); font-size: 14.5px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 22px 24px; margin: 20px 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 24px 0; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 18px; }
.figure b { display: block; font-size: 24px; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.25; }
.figure span { color: var(--soft); font-size: 13.5px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; font-variant-numeric: tabular-nums; margin: 8px 0; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: break-word; }
th.n, td.n { text-align: right; white-space: nowrap; padding-left: 12px; }
tr:last-child td { border-bottom: 0; }
pre { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-x: auto; margin: 8px 0 0; }
summary { cursor: pointer; font-weight: 600; }
.chart { width: 100%; margin-top: 8px; }
"""

SCRIPT = """
const dark = matchMedia('(prefers-color-scheme: dark)');
function draw() {
  const css = getComputedStyle(document.documentElement);
  const ink = css.getPropertyValue('--ink').trim(), line = css.getPropertyValue('--line').trim();
  for (const [id, figure] of Object.entries(FIGURES)) {
    const layout = structuredClone(figure.layout);
    Object.assign(layout, {paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
      font: {family: getComputedStyle(document.body).fontFamily, size: 13, color: ink}});
    for (const axis of [layout.xaxis, layout.yaxis]) { axis.gridcolor = line; axis.linecolor = line; }
    Plotly.react(id, figure.data, layout, {displayModeBar: false, responsive: true});
  }
}
draw();
dark.addEventListener('change', draw);
"""


@dataclass
class Page:
    """A page under construction.

    Attributes:
        title: the page's title.
        parts: HTML so far.
        figures: chart id → plotly figure.
    """

    title: str
    parts: list[str] = field(default_factory=list)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)

    def header(self, below: str, figures: Sequence[tuple[str, str]]) -> None:
        """The title, a line below it, and key figures as (number, what it is)."""
        cards = "".join(
            f'<div class="figure"><b>{escape(n)}</b><span>{escape(what)}</span></div>' for n, what in figures
        )
        self.parts.append(
            f'<h1>{escape(self.title)}</h1><p class="sub">{escape(below)}</p><div class="figures">{cards}</div>'
        )

    def section(self, title: str, note: str, *content: str) -> None:
        """A titled card."""
        self.parts.append(
            f'<section><h2>{escape(title)}</h2><p class="note">{escape(note)}</p>{"".join(content)}</section>'
        )

    def chart(self, figure: dict[str, Any]) -> str:
        """Adds a figure; returns its place."""
        name = f"chart-{len(self.figures) + 1}"
        self.figures[name] = figure
        return f'<div class="chart" id="{name}" style="height:{int(figure["layout"]["height"])}px"></div>'

    def html(self) -> str:
        """The whole page."""
        from plotly.offline import get_plotlyjs

        figures = json.dumps(self.figures, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
            + "\n".join(self.parts)
            + f"\n</main>\n<script>{get_plotlyjs()}</script>\n"
            + f"<script>const FIGURES = {figures};{SCRIPT}</script>\n</body>\n</html>\n"
        )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """A table; the first ``text_columns`` columns are text, the others numbers."""
    kinds = [' class="n"' if i >= text_columns else "" for i in range(len(header))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(header, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
