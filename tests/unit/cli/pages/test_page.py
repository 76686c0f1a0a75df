"""HTML pages: what is put into a template is escaped, and nothing but templates makes HTML."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields
from pathlib import Path

import plotly.graph_objects as go
import pytest

from cli.data.mixture_page import write_mixture_page
from cli.pages.figures import figure, line
from cli.pages.page import Heading, Note, Page, Table
from cli.training.scaling_page import write_scaling_page
from sampler.plan import PlannedDomain
from tamis.errors import TamisError

HOSTILE = "</script><b>\"'&"
MARKUP = re.compile(r"</?(a|b|body|details|div|h[1-6]|html|p|pre|script|section|span|style|t[abdhr]\w*)\b[^>]*>")


def without_plotly(page: str) -> str:
    return re.sub(r"<script>/\*.*?</script>", "", page, count=1, flags=re.DOTALL)


def figures_of(page: str) -> dict[str, dict[str, object]]:
    return json.loads(re.findall(r"const FIGURES = (.*?);\nconst dark", page)[0])


def test_every_text_of_a_page_is_escaped() -> None:
    page = Page(HOSTILE, HOSTILE, [(HOSTILE, HOSTILE)])
    chart = page.chart(figure([line(HOSTILE, [0], [0], "#000", None)], 100, x={}, y={}))
    page.section(HOSTILE, HOSTILE, Table((HOSTILE,), [(HOSTILE,)]), Heading(HOSTILE), Note(HOSTILE), chart)
    page.settings(HOSTILE, {HOSTILE: HOSTILE})
    html = without_plotly(page.html())
    assert html.count("&lt;/script&gt;&lt;b&gt;&#34;&#39;&amp;") == 14 and '<b>"' not in html
    assert html.count("<script>") == html.count("</script>") == 1
    assert figures_of(html)["chart-1"]["data"][0]["name"] == HOSTILE  # type: ignore[index]


def test_a_number_that_json_has_not_is_refused() -> None:
    page = Page("x")
    page.chart(figure([line("a", [0], [float("nan")], "#000", None)], 100, x={}, y={}))
    with pytest.raises(ValueError, match="not JSON compliant"):
        page.html()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TamisError, match=r"file/x\.html: cannot be written"):
        Page("x").write(tmp_path / "file" / "x.html")


def test_the_figures_of_mixtures_and_scaling_laws_are_plotlys(tmp_path: Path) -> None:
    from trainer.scaling.law import Point, fit_scaling_law, predict

    names = [f.name for f in fields(PlannedDomain)]
    first = (0, "a<b>", 0.75, 3, 96.0, 0.0, 500.0, 0.0, 0.2, 4.0, None, None)
    then = (1, "zh", 1.0, 2, 60.0, 0.06, 100.0, 0.0, 0.6, 9.0, None, None)
    rows = [PlannedDomain(**dict(zip(names, row, strict=True))) for row in (first, then)]  # type: ignore[arg-type]
    write_mixture_page(tmp_path / "mixture.html", rows, "a mixture")
    points = [Point(name=f"run {n}", flops=10.0**n, loss=2 + 3 * 10.0 ** (-n / 10)) for n in range(15, 20)]
    law = fit_scaling_law(points)
    write_scaling_page(tmp_path / "law.html", points, law, predict(law, 1e21, 0.9), 0.9)
    for name, charts in (("mixture", 2), ("law", 1)):
        found = figures_of(without_plotly((tmp_path / f"{name}.html").read_text("utf-8")))
        assert len(found) == charts
        for chart in found.values():
            go.Figure(chart)  # refuses what plotly does not know


def test_no_module_of_the_commands_makes_html(repository: Path) -> None:
    """The templates do; the demo's files are web pages of a crawl."""
    for path in (repository / "cli").rglob("*.py"):
        strings = [n.value for n in ast.walk(ast.parse(path.read_bytes())) if isinstance(n, ast.Constant)]
        found = [text for text in strings if isinstance(text, str) and MARKUP.search(text)]
        assert found == [] or path.name == "demo_files.py", (path, found)
    assert MARKUP.search('<div class="x">') and not MARKUP.search("<extra></extra>")
