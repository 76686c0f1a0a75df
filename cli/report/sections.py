"""The sections of a run's report, in their order."""

from __future__ import annotations

from cli.inspect.contamination import BENCHMARK_HEADER, BENCHMARK_NOTE, benchmark_cells
from cli.inspect.stats import REPORT, REPORT_REMAINS, funnel_lines, reason_rows
from cli.pages.page import Heading, Page, Table
from cli.present import removed, share, size
from cli.report import charts
from cli.report.cells import add_cells
from cli.report.models import add_models, add_training
from cli.report.numbers import Numbers
from cli.report.removal import add_removal

SOURCES_SHOWN = 20


def report_page(numbers: Numbers) -> Page:
    """The whole report; a part that the run has nothing for adds no section."""
    page = Page(f"Tamis run: {numbers.info['pipeline']['name']}")
    for add in (
        _header,
        _funnel,
        _reasons,
        _domains,
        add_removal,
        _components,
        add_cells,
        _scores,
        _languages,
        _benchmarks,
        _quarantine,
        add_models,
        add_training,
        _settings,
    ):
        add(page, numbers)
    return page


def _header(page: Page, numbers: Numbers) -> None:
    ingest, stages = numbers.ledger["ingest"], numbers.ledger["stages"]
    last = stages[-1] if stages else {"documents_kept": ingest["documents"], "bytes_kept": ingest["text_bytes"]}
    below = f"{ingest['records']:,} raw records in {size(ingest['source_bytes'])} of input"
    if numbers.removal is not None and numbers.removal["alarm"]["raised_total"]:
        below += "; the alarm stopped the run before its shards were written"
    elif not numbers.published:
        below += "; the run has not published its shards yet"
    if version := numbers.info.get("tamis_version"):
        below += f"; Tamis {version}"
    kept = share(last["documents_kept"], ingest["documents"]), share(last["bytes_kept"], ingest["text_bytes"])
    page.below = below
    page.key_figures = [
        (f"{ingest['documents']:,}", "documents ingested"),
        (size(ingest["text_bytes"]), "text ingested"),
        (f"{last['documents_kept']:,}", f"documents kept, {kept[0]:.1f} %"),
        (size(last["bytes_kept"]), f"text kept, {kept[1]:.1f} %"),
        (f"{sum(numbers.ledger['quarantined'].values()):,}", "records quarantined"),
        (f"{sum(s['seconds'] for s in stages):,.0f} s", "in stages"),
    ]


def _funnel(page: Page, numbers: Numbers) -> None:
    ledger = numbers.ledger
    rows = []
    for stage, line in zip(ledger["stages"], funnel_lines(ledger), strict=True):
        reported = "" if line["report"] is None else removed(line["report"])
        rows.append(
            [
                stage["name"],
                f"{stage['documents_kept']:,}",
                size(stage["bytes_kept"]),
                f"{stage['sentences_kept']:,}",
                removed(line["documents_removed"]),
                removed(line["bytes_removed"]),
                reported,
                f"{stage['seconds']:,.1f} s",
            ]
        )
    header = ("stage", "documents", "text", "sentences", "−documents", "−text", "Baichuan 2", "time")
    page.section(
        "The funnel",
        "What is left of the raw data behind each stage. Text is counted in bytes as ingested.",
        page.chart(charts.funnel(numbers)),
        Table(header, rows),
    )
    page.section(
        "Beside the Baichuan 2 report",
        f"Share of raw that each step removed, and what remains: {REPORT_REMAINS} % in the report (arXiv 2309.10305, "
        "figure 2). Its raw data and ours differ, and so may the order of the steps. A step that this run has not has "
        "no bar.",
        page.chart(charts.beside_report(numbers)),
        Table(("our stage", "the report's step"), [(name, step) for name, (step, _) in REPORT.items()], 2),
    )


def _reasons(page: Page, numbers: Numbers) -> None:
    rows = reason_rows(numbers.ledger)
    if not rows:
        page.section("Why", "No stage has removed anything.")
        return
    ingest = numbers.ledger["ingest"]
    cells = [
        (
            row.stage,
            row.reason,
            "" if row.documents is None else f"{row.documents:,}",
            f"{row.sentences:,}",
            size(row.bytes),
            f"{share(row.bytes, ingest['text_bytes']):.3f} %",
        )
        for row in rows
    ]
    page.section(
        "Why",
        "Text removed, by stage and reason. “cut:” marks spans taken out of documents that stay.",
        page.chart(charts.reasons(numbers)),
        Table(("stage", "reason", "documents", "sentences", "text", "of raw"), cells, 2),
    )


def _domains(page: Page, numbers: Numbers) -> None:
    keys = ("documents_in", "documents_kept", "bytes_in", "bytes_kept")
    domains = {name: [line[key] for key in keys] for name, line in numbers.ledger["domains"].items()}
    if domains:
        note = "Kept and removed, as a share of each domain's own raw text."
        pipeline = numbers.info["pipeline"]
        inputs = (i["domain"] for i in pipeline.get("inputs", ()))
        named = dict.fromkeys([*pipeline.get("priority", ()), *inputs, *pipeline.get("domains", ())])
        order = [name for name in named if name in domains]
        if len(order) > 1:
            note += f" A text that several have is kept by the first of: {', '.join(order)}."
        page.section("Domains", note, page.chart(charts.removal(domains)))
    largest = sorted(numbers.sources.items(), key=lambda item: (-int(item[1][2]), item[0]))[:SOURCES_SHOWN]
    if numbers.published and largest:
        more = len(numbers.sources) - len(largest)
        note = "The same by source: a source that vanishes shows here."
        note += f" The {len(largest)} largest; {more:,} more are not shown." if more else ""
        page.section("Sources", note, page.chart(charts.removal({name: line.tolist() for name, line in largest})))


def _components(page: Page, numbers: Numbers) -> None:
    if numbers.components:
        total = sum(numbers.components.values())
        note = f"{total:,} families of near copies; the largest has {max(numbers.components):,} documents."
        page.section("Near copies", note, page.chart(charts.components(numbers)))


def _scores(page: Page, numbers: Numbers) -> None:
    if numbers.quality:
        note = "Kept documents by the mean score of their sentences."
        note += f" {numbers.unscored:,} have no score." if numbers.unscored else ""
        page.section("Quality", note, page.chart(charts.quality(numbers)))
    if numbers.frequency:
        note = "Copies that a kept document stands for, itself among them: exact and near copies over all the raw data."
        page.section("Frequency", note, page.chart(charts.frequency(numbers)))
    if numbers.weights:
        note = "What the domains' curves make of frequency, quality and language."
        page.section("Weights", note, page.chart(charts.weights(numbers)))
    if numbers.curves:
        limits = [
            (
                domain,
                f"{c['floor']:g}",
                f"{c['cap']:g}",
                f"{len(c['raised']['hosts'])} × {c['raised']['factor']:g}",
                f"{c['cluster']['temperature']:g}",
            )
            for domain, c in sorted(numbers.curves.items())
        ]
        page.section(
            "Curves",
            "A weight is the product of these factors, and of that for raised hosts, within floor and cap.",
            page.chart(charts.curve(numbers, "frequency", "copies, itself among them")),
            page.chart(charts.curve(numbers, "quality", "quality")),
            page.chart(charts.curve(numbers, "language", "certainty of the language")),
            page.chart(charts.curve(numbers, "safety", "safety")),
            page.chart(charts.curve(numbers, "density", "density: mean cosine to the eight nearest of the cell")),
            Table(("domain", "floor", "cap", "raised hosts", "temperature of cells"), limits),
        )


def _languages(page: Page, numbers: Numbers) -> None:
    if numbers.languages:
        note = "Kept text by language, as identified, else as its record says."
        page.section("Languages", note, page.chart(charts.languages(numbers)))


def _benchmarks(page: Page, numbers: Numbers) -> None:
    if numbers.benchmarks:
        note = "Items of each benchmark that were looked for in the text, and what was found. " + BENCHMARK_NOTE
        page.section("Benchmarks", note, Table(BENCHMARK_HEADER, [benchmark_cells(b) for b in numbers.benchmarks]))


def _quarantine(page: Page, numbers: Numbers) -> None:

    found = sorted(numbers.ledger["quarantined"].items(), key=lambda item: (-item[1], item[0]))
    if not found:
        page.section("Quarantine", "Every raw record could be read.")
        return
    records = numbers.ledger["ingest"]["records"]
    rows = [(reason, f"{count:,}", f"{share(count, records):.3f} %") for reason, count in found]
    files = [(name, f"{bad:,}", f"{total:,}") for name, total, bad in numbers.quarantined_by_file]
    note = "Raw records that never became documents; ingest/quarantine lists each with file, offset and detail."
    page.section(
        "Quarantine",
        note,
        Table(("reason", "records", "of records"), rows),
        Heading("Files with most of them"),
        Table(("file", "quarantined", "records"), files),
    )


def _settings(page: Page, numbers: Numbers) -> None:
    page.settings("Settings of the pipeline", numbers.info["pipeline"])
