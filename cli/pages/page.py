"""HTML pages: one file each, no address outside it, light or dark as the reader's system is.

A page is sections of tables, charts and notes; how they look stands in `templates/`, over one layout. Jinja2 escapes
every text that is put into a template, and writes JSON so that no text in it can end a script. plotly's JavaScript is
put in once (5 MB); figures follow as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from corpus.files import atomic_file
from tamis.errors import TamisError

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from cli.pages.figures import Figure


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first `text_columns` columns are text, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, slots=True)
class Chart:
    """The place of a figure, `height` pixels high; `name` is its key in `Page.figures`."""

    name: str
    height: int
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a section."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph inside a section."""

    text: str
    kind: ClassVar[str] = "note"


@dataclass(frozen=True, slots=True)
class Folded:
    """A text that is shown when its title is clicked."""

    title: str
    text: str
    kind: ClassVar[str] = "folded"


Part = Table | Chart | Heading | Note | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """A card; one without a title shows its parts alone."""

    title: str
    note: str
    parts: tuple[Part, ...]


@dataclass
class Page:
    """A page under construction: the line below its title, (number, what it is), sections, and figures by name."""

    title: str
    below: str = ""
    key_figures: Sequence[tuple[str, str]] = ()
    sections: list[Section] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)

    def section(self, title: str, note: str, *parts: Part) -> None:
        """Adds a card."""
        self.sections.append(Section(title, note, parts))

    def settings(self, title: str, settings: Any) -> None:
        """Adds a card with settings as YAML, folded away."""
        import yaml

        text = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False, default_flow_style=None, width=110)
        self.section("", "", Folded(title, text))

    def chart(self, figure: Figure, name: str | None = None) -> Chart:
        """Adds a figure; returns its place."""
        name = name or f"chart-{len(self.figures) + 1}"
        self.figures[name] = figure
        return Chart(name, int(figure["layout"]["height"]))

    def html(self) -> str:
        """The whole page."""
        return _environment().get_template("page.html").render(page=self)

    def write(self, path: Path) -> Path:
        """Writes the page, and the folders above it; returns the path.

        Raises:
            TamisError: it cannot be written.
        """
        try:
            with atomic_file(path) as file:
                file.write(self.html().encode("utf-8"))
        except OSError as error:
            raise TamisError(f"{path}: cannot be written ({error.strerror}).") from error
        return path


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "allow_nan": False}
    found.globals["plotly_script"] = _plotly_script
    return found


def _plotly_script() -> Markup:
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())
