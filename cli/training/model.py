"""`tamis model`: trained models, judged (`cli.training.evaluate`) and handed to others as Hugging Face's Llama."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Answer, MixtureData, ModelArgument, answering
from cli.progress import shown_progress
from cli.training.evaluate import evaluate, harness
from tamis.extras import needs

app = typer.Typer(no_args_is_help=True, help="Trained models: judge them, hand them to other programs.")


class WeightType(StrEnum):
    """Number type of the weights written."""

    float32 = "float32"
    bfloat16 = "bfloat16"


@app.command()
@answering
def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    data: MixtureData,
    dtype: Annotated[
        WeightType, typer.Option("--dtype", help="Number type of the weights written.")
    ] = WeightType.bfloat16,
    max_shard_bytes: Annotated[
        int, typer.Option("--max-shard-bytes", min=1, help="Largest size of one weight file, bytes.")
    ] = 5_000_000_000,
    check: Annotated[bool, typer.Option("--check", help="Load it in transformers and compare logits.")] = False,
) -> Answer:
    """Write the last checkpoint of a training as safetensors, config and tokenizer that transformers loads."""
    from corpus.config import load_config
    from sampler.prepare import tokenizer_for_mixture
    from trainer.config import TrainConfig

    needs("torch", extra="train", for_="tamis model export")
    from trainer.evaluation.trained import read_trained
    from trainer.export.llama import Vocabulary, export_llama

    config = load_config(TrainConfig, model)
    mixture, folder = data.load()
    with shown_progress() as progress:
        tokenizer = tokenizer_for_mixture(folder, mixture, progress)
    state, step = read_trained(folder / "train" / config.name, config, tokenizer=tokenizer.digest)
    files = export_llama(
        state,
        config.model,
        Vocabulary(
            model=tokenizer.processor.serialized_model_proto(), bos_id=tokenizer.bos_id, eos_id=tokenizer.eos_id
        ),
        mixture.longest_sequence,
        out,
        dtype="bfloat16" if dtype is WeightType.bfloat16 else "float32",
        max_shard_bytes=max_shard_bytes,
    )
    result: dict[str, Any] = {"folder": str(out), "step": step, "dtype": dtype.value}
    result |= {"files": [path.name for path in files], "bytes": sum(path.stat().st_size for path in files)}
    if check:
        from trainer.export.check import largest_difference

        result["largest_difference"] = largest_difference(out, state, config.model)
    said = f"written: {out} ({len(files)} files, {result['bytes']:,} bytes, {dtype.value}, step {step:,})"
    if check:
        rounded = "" if dtype is WeightType.float32 else " (of weights rounded to bfloat16)"
        said += f"\nlargest difference of a logit from transformers': {result['largest_difference']:.2g}{rounded}"
    return Answer(result, lambda: typer.echo(said))


app.command()(evaluate)
app.command()(harness)
