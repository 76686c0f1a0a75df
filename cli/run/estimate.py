"""`tamis estimate`: hours, core-hours and disk of a run that nobody has made yet, from rates that were measured.

    text = tokens · bytes a token;  core-hours = Σ over stages of text / rate;  hours = core-hours / cores + network

It is arithmetic, not a promise: the rates are those of one machine and one corpus (`conf/rates.yaml` says which), and
what they assume is printed with every answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Answer, answering
from cli.present import console, grid, size
from corpus.config import StrictModel, load_config, setting
from tamis.errors import ConfigError
from tamis.places import CONF

RATES = CONF / "rates.yaml"
SECONDS = 3600.0


class StageRate(StrictModel):
    """What a stage costs."""

    mb_per_cpu_second: float = setting(
        ...,
        "Ingested text that a core works through; what earlier stages have dropped of it counts too.",
        unit="10^6 bytes a CPU-second",
        gt=0,
    )
    shuffle_bytes: float = setting(0.0, "What a raw document sends over the network.", unit="bytes", ge=0)


class Rates(StrictModel):
    """Measured rates."""

    measured: str = setting(..., "Where, when and how, for people.")
    document_bytes: float = setting(..., "Mean UTF-8 bytes of a raw document.", unit="bytes", gt=0)
    kept: float = setting(..., "Share of the text that was published.", unit="share", gt=0, le=1)
    stored: dict[str, float] = setting(
        ..., "Folder of a run to its size on disk, for a byte of ingested text.", unit="bytes a byte"
    )
    stages: dict[str, StageRate] = setting(..., "Stage to its rate, in their order.")


@answering
def estimate(
    tokens: Annotated[float, typer.Option("--tokens", help="Tokens of raw text, such as 1e12.", min=1.0)],
    nodes: Annotated[int, typer.Option("--nodes", help="Number of machines.", min=1)] = 1,
    cores: Annotated[int, typer.Option("--cores", help="Cores of a machine that Spark gets.", min=1)] = 32,
    bytes_per_token: Annotated[float, typer.Option("--bytes-per-token", help="UTF-8 bytes a token.", min=0.5)] = 4.0,
    document_bytes: Annotated[
        float | None, typer.Option("--document-bytes", help="Mean size of a raw document; as measured by default.")
    ] = None,
    network: Annotated[
        float, typer.Option("--network", help="Gigabytes a second that a machine sends and receives.", min=1e-3)
    ] = 1.0,
    busy: Annotated[
        float, typer.Option("--busy", help="Share of its time that a core works: stragglers, waiting.", min=0.01, max=1)
    ] = 0.7,
    rates: Annotated[Path, typer.Option("--rates", help="YAML of measured rates.")] = RATES,
) -> Answer:
    """Estimate hours, core-hours and disk of a run of the default pipeline."""
    known = load_config(Rates, rates)
    if document_bytes is not None and document_bytes < 1:
        raise ConfigError(f"--document-bytes: found {document_bytes:g}; expected at least 1")
    result = estimated(
        known, tokens * bytes_per_token, document_bytes or known.document_bytes, nodes, cores, network, busy
    )
    result["assumes"] = [
        f"{bytes_per_token:g} bytes a token, {result['documents']:,.0f} raw documents of "
        f"{document_bytes or known.document_bytes:,.0f} bytes",
        f"cores as fast as where the rates were measured, busy {100 * busy:.0f} % of the time",
        f"{network:g} GB/s a machine for shuffles, which do not overlap with work",
        f"a corpus of which {100 * known.kept:.0f} % of the text is left, as there; more copies cost less",
        known.measured,
    ]
    return Answer(result, lambda: _print(result, tokens, nodes, cores))


def estimated(
    rates: Rates, text: float, document_bytes: float, nodes: int, cores: int, network: float, busy: float
) -> dict[str, Any]:
    """The arithmetic, for `text` raw bytes, and machines of so many cores and GB of network a second.

    Returns:
        `stages` (name, core_hours, shuffle_bytes, hours), their sums, `disk_bytes` by folder, `documents`.
    """
    documents = text / document_bytes
    stages = []
    for name, rate in rates.stages.items():
        core_hours = text / 1e6 / rate.mb_per_cpu_second / SECONDS
        shuffled = documents * rate.shuffle_bytes
        hours = core_hours / (nodes * cores * busy) + shuffled / (nodes * network * 1e9) / SECONDS
        stages.append({"name": name, "core_hours": core_hours, "shuffle_bytes": shuffled, "hours": hours})
    return {
        "text_bytes": text,
        "documents": documents,
        "stages": stages,
        **{key: sum(s[key] for s in stages) for key in ("core_hours", "shuffle_bytes", "hours")},
        "disk_bytes": {name: text * share for name, share in rates.stored.items()},
        "kept_bytes": text * rates.kept,
    }


def _print(result: dict[str, Any], tokens: float, nodes: int, cores: int) -> None:
    screen = console()
    title = f"{tokens:.3g} tokens, {size(round(result['text_bytes']))} of text, on {nodes:,} × {cores:,} cores"
    table = grid(["stage"], ("core-hours", "shuffled", "hours"), title=title, header_style="bold")
    for line in [*result["stages"], {**result, "name": "all"}]:
        shuffled = size(round(line["shuffle_bytes"])) if line["shuffle_bytes"] else ""
        style = "bold" if line["name"] == "all" else None
        table.add_row(line["name"], f"{line['core_hours']:,.1f}", shuffled, f"{line['hours']:.2g}", style=style)
    screen.print(table)
    disk = ", ".join(f"{name} {size(round(value))}" for name, value in result["disk_bytes"].items())
    screen.print(f"\nOn disk: {disk}; published text {size(round(result['kept_bytes']))} before compression.\nAssumed:")
    for line in result["assumes"]:
        screen.print(f"  - {line}", highlight=False)
