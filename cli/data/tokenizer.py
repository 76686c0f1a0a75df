"""`tamis tokenizer`: train a vocabulary on a run, compare tokenizers, add a language to one in use.

Results go to standard output, progress to standard error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.data.tokenizer_options import BytesOption, InputOption, RunOption, SeedOption, named_as_options, parse_factors
from cli.options import Answer, answering
from tamis.errors import ConfigError
from tamis.progress import each, step
from tamis.version import RECORD

if TYPE_CHECKING:
    from sampler.tokenizer.compression import AnyTokenizer
    from sampler.tokenizer.extension import Script
    from sampler.tokenizer.texts import TextGroup
    from tamis.progress import Progress

app = typer.Typer(no_args_is_help=True, help="Vocabularies: train, compare, extend.")
_VOCABULARY = 125_696  # Baichuan 2's
_REPORT_BYTES = 2_000_000


@app.command()
@answering
def train(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run with published shards.")],
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="The .model file to write.")],
    vocab_size: Annotated[
        int, typer.Option("--vocab-size", help="Number of pieces, the 259 fixed ones included.")
    ] = _VOCABULARY,
    sample_bytes: Annotated[
        int,
        typer.Option("--sample-bytes", help="UTF-8 bytes of text to train on; training takes 25 times that in memory."),
    ] = 200_000_000,
    factor: Annotated[
        list[str] | None,
        typer.Option("--factor", metavar="DOMAIN=F", help="Draw documents of a domain (or glob) F times as likely."),
    ] = None,
    seed: SeedOption = 0,
    character_coverage: Annotated[
        float, typer.Option("--character-coverage", help="Share of characters with a piece; the rest is bytes.")
    ] = 0.9999,
    max_piece_chars: Annotated[int, typer.Option("--max-piece-chars", help="Longest piece, in characters.")] = 32,
) -> Answer:
    """Train a SentencePiece BPE with Baichuan 2's settings on the training split of a run."""
    from cli.data.tokenizer_view import print_training
    from cli.progress import shown_progress
    from corpus.config import parse
    from sampler.published import list_shards
    from sampler.tokenizer.training import TokenizerConfig, train_model

    settings = {
        "vocab_size": vocab_size,
        "sample_bytes": sample_bytes,
        "domain_factors": parse_factors(factor or []),
        "character_coverage": character_coverage,
        "max_piece_chars": max_piece_chars,
    }
    _require_file(out)
    with named_as_options():
        config = parse(TokenizerConfig, settings, "tokenizer")
        shards = list_shards(run)
        with shown_progress() as progress:
            trained = train_model(shards, config, seed, progress)
    settings_path = _write(out, trained.model, trained.to_json())
    result = {"model": str(out), "settings": str(settings_path), **trained.to_json()}
    return Answer(result, lambda: print_training(result))


@app.command()
@answering
def report(
    models: Annotated[
        list[Path] | None, typer.Argument(metavar="[MODEL]...", help=".model files, or folders of stored tokenizers.")
    ] = None,
    run: RunOption = None,
    inputs: InputOption = None,
    peers: Annotated[bool, typer.Option("--peers", help="Also tokenizers that installed packages carry.")] = False,
    sample_bytes: BytesOption = _REPORT_BYTES,
    seed: SeedOption = 0,
) -> Answer:
    """Compare how tokenizers compress each domain: tokens a character, bytes a token, texts that do not come back."""
    from cli.data.tokenizer_view import print_report
    from cli.progress import shown_progress
    from sampler.tokenizer.compression import measure
    from sampler.tokenizer.model import open_tokenizer
    from sampler.tokenizer.peers import find_peers

    if not models and not peers:
        raise ConfigError("tokenizer report: found no tokenizer; expected a MODEL, --peers or both")
    encoders: dict[str, AnyTokenizer] = {str(path): open_tokenizer(path, needs_eos=False) for path in models or []}
    with shown_progress() as progress:
        groups = _groups(run, inputs, sample_bytes, seed, progress)
        left_out: list[str] = []
        if peers:
            with step(progress, "loading peers"):
                found, left_out = find_peers()
            encoders |= found
        measured: list[dict[str, Any]] = []
        for name, encoder in each(progress, "measuring tokenizers", list(encoders.items())):
            figures = {group.name: measure(group.texts, encoder).to_json() for group in groups}
            measured.append({"name": name, "vocabulary": encoder.vocab_size, "groups": figures})
    result = {
        "groups": [{"name": group.name, "origin": group.origin} for group in groups],
        "seed": seed,
        "tokenizers": measured,
        "left_out": left_out,
    }
    return Answer(result, lambda: print_report(result))


@app.command()
@answering
def extend(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The .model file whose ids stay as they are.")],
    other: Annotated[Path, typer.Option("--with", metavar="MODEL", help="The .model file that gives its pieces.")],
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="The .model file to write.")],
    only_script: Annotated[
        str | None, typer.Option("--only-script", help="han: only pieces of Han characters and their punctuation.")
    ] = None,
    run: RunOption = None,
    inputs: InputOption = None,
    sample_bytes: BytesOption = _REPORT_BYTES,
    seed: SeedOption = 0,
) -> Answer:
    """Put the pieces that a BPE model lacks of another one behind its own, as BiLLa did with Chinese ones."""
    from cli.data.tokenizer_view import print_extension
    from cli.progress import shown_progress
    from sampler.tokenizer.extension import extend_model
    from sampler.tokenizer.model import open_tokenizer, read_model

    _require_file(out)
    before = open_tokenizer(base, needs_eos=False)
    with shown_progress() as progress:
        groups = _groups(run, inputs, sample_bytes, seed, progress) if run or inputs else []
        merged = extend_model(read_model(base), read_model(other), _script(only_script))
        facts = {
            **RECORD,
            "base": str(base),
            "base_size": merged.base_size,
            "base_digest": before.digest,
            "with": str(other),
            "only_script": only_script,
            "added": len(merged.added),
            "known": merged.known,
            "filtered": merged.filtered,
            "vocabulary": merged.base_size + len(merged.added),
        }
        settings_path = _write(out, merged.model, facts)
        after = open_tokenizer(out, needs_eos=False)
        measured = each(progress, "measuring before and after", groups)
        compression = {group.name: _compared(group, before, after) for group in measured}
    result = {
        "model": str(out),
        "settings": str(settings_path),
        "digest": after.digest,
        **facts,
        "compression": compression,
    }
    return Answer(result, lambda: print_extension(result))


def _groups(
    run: Path | None, inputs: list[str] | None, sample_bytes: int, seed: int, progress: Progress
) -> list[TextGroup]:
    from sampler.tokenizer.texts import input_groups, run_groups

    if run is None and not inputs:
        raise ConfigError("tokenizer report: found no text; expected --run RUN or --input NAME=GLOB")
    groups = [] if run is None else run_groups(run, sample_bytes, seed, progress)
    groups += input_groups(inputs or [], sample_bytes, seed, progress)
    names = [group.name for group in groups]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"--input: found {twice[0]!r}, which the run has as a domain; expected another name")
    return groups


def _compared(group: TextGroup, before: AnyTokenizer, after: AnyTokenizer) -> dict[str, Any]:
    from sampler.tokenizer.compression import encoded_alike, measure

    return {
        "before": measure(group.texts, before).to_json(),
        "after": measure(group.texts, after).to_json(),
        "encoded_as_before": encoded_alike(group.texts, before, after),
    }


def _script(name: str | None) -> Script | None:
    if name in (None, "han"):
        return "han" if name else None
    raise ConfigError(f"--only-script: found {name!r}; expected han")


def _require_file(out: Path) -> None:
    if out.is_dir():
        raise ConfigError(f"--out: found the folder {out}; expected the name of a .model file")


def _write(out: Path, model: bytes, facts: dict[str, Any]) -> Path:
    """The model, and beside it `<name>.json` with what it was made from."""
    from corpus.files import atomic_file, write_json

    with atomic_file(out) as file:
        file.write(model)
    settings_path = out.with_name(f"{out.name}.json")
    write_json(settings_path, facts)
    return settings_path
