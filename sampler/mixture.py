"""A mixture: which domains, in which proportions of tokens, at which sequence length.

Strict YAML: an unknown key is an error, and so is a mixture that would repeat a domain more often than it
allows. `domains: "*"` stands for every domain of the run, weighted by its tokens, which is the corpus as it
is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from corpus.config import StrictModel, load_config
from corpus.errors import ConfigError
from sampler.tokenizer import TokenizerConfig

EVERY = "*"


class DomainShare(StrictModel):
    """One domain's part in a mixture."""

    weight: float = Field(1.0, ge=0)  # share of tokens; only proportions count
    max_epochs: float = Field(4.0, gt=0)  # up to four cost little (Muennighoff et al. 2023, arXiv 2305.16264)


class Mixture(StrictModel):
    """A mixture file."""

    run: str | None = None  # the run folder, relative to this file
    domains: dict[str, DomainShare]
    sequence_length: int = Field(ge=2, le=1 << 24)
    seed: int = Field(ge=0, lt=1 << 63)
    packing: Literal["concat"] = "concat"
    split: Literal["train", "heldout"] = "train"
    shuffle_block_tokens: int = Field(1 << 22, ge=1)  # documents are shuffled within blocks of this size
    tokenizer: TokenizerConfig = TokenizerConfig()

    @field_validator("domains", mode="before")
    @classmethod
    def _every(cls, value: Any) -> Any:
        return {EVERY: {}} if value == EVERY else value

    @field_validator("domains")
    @classmethod
    def _weighted(cls, value: dict[str, DomainShare]) -> dict[str, DomainShare]:
        if EVERY in value and (len(value) > 1 or "weight" in value[EVERY].model_fields_set):
            raise ValueError('"*" alone and without a weight, as it weighs every domain by its tokens')
        if not any(share.weight > 0 for share in value.values()):
            raise ValueError("at least one domain with a weight above 0")
        return value


def load_mixture(path: Path, run: Path | None = None) -> tuple[Mixture, Path]:
    """Read a mixture file and find its run.

    Args:
        path: the YAML file.
        run: a run folder that takes precedence over the file's.

    Returns:
        The mixture and the run folder.

    Raises:
        ConfigError: as `load_config`, or no run is named, or it is no folder.
    """
    mixture = load_config(Mixture, path)
    if run is None:
        if mixture.run is None:
            raise ConfigError(f"{path}: key `run` is missing, and no --run was given (allowed: a run folder).")
        run = (path.parent / mixture.run).resolve()
    if not run.is_dir():
        raise ConfigError(f"{path}: key `run` is {str(run)!r}, which is no folder (allowed: a run of the pipeline).")
    return mixture, run


def resolve_shares(mixture: Mixture, tokens: dict[str, float]) -> dict[str, DomainShare]:
    """The domains that a stream draws on, with their weights.

    Args:
        mixture: the config.
        tokens: expected tokens of an epoch for every domain of the run; zero where the split has none.

    Returns:
        Domains with a weight above zero, in name order.

    Raises:
        ConfigError: an unknown domain, or one with a weight and no tokens.
    """
    if EVERY in mixture.domains:
        limit = mixture.domains[EVERY].max_epochs
        shares = {name: DomainShare(weight=float(size), max_epochs=limit) for name, size in tokens.items()}
    else:
        shares = mixture.domains
    for name, share in shares.items():
        if name not in tokens:
            raise ConfigError(
                f"key `domains.{name}` names a domain that the run does not have "
                f"(allowed: {', '.join(sorted(tokens))})."
            )
        if share.weight > 0 and not tokens[name]:
            raise ConfigError(
                f"key `domains.{name}.weight` is {share.weight:g}, but the domain has no tokens in split "
                f"{mixture.split} (allowed: 0)."
            )
    found = {name: shares[name] for name in sorted(shares) if shares[name].weight > 0}
    if not found:
        raise ConfigError(f"key `split` is {mixture.split}, in which no domain of the run has tokens.")
    return found
