"""A mixture: which domains, in which proportions of tokens, in which phases, at which sequence length.

Strict YAML: an unknown key is an error, and so is a mixture that would repeat a domain more often than it allows.
`domains: "*"` stands for every domain of the run, weighted by its tokens, which gives the corpus as it is.

A phase is a stretch of training with one mixture. It names what it changes (domains and their weights, sequence length,
packing, temperature) and how many tokens it lasts; the last one may go on without end. A domain's shards, document
weights and boosts, the seed and the shuffle blocks are the same in all phases, since cursors refer to them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from corpus.config import Refused, StrictModel, load_config, setting
from sampler.tokenizer.training import TokenizerConfig
from sampler.weight_files import CURRENT
from tamis.errors import ConfigError
from tamis.places import base_folder

EVERY = "*"
_LEAST = 1e-9
Packing = Literal["concat", "best_fit", "document"]


class DomainShare(StrictModel):
    """One domain's part in a mixture."""

    weight: float = setting(
        1.0, "Share of the tokens, padding of planned packings included; only proportions count.", unit="parts", ge=0
    )
    max_epochs: float = setting(
        4.0,
        "A training that would repeat the domain more often is refused; up to four passes cost little.",
        unit="epochs",
        source="Muennighoff et al. 2023 (arXiv 2305.16264)",
        gt=0,
    )
    shards: tuple[str, ...] = setting((), "Globs over `<domain>/<shard>`; empty: those of the domain of that name.")


class BoostConfig(StrictModel):
    """Documents that come more often, or less: a curated set, say."""

    factor: float = setting(..., "Times the expected copies an epoch, of which 64 at most.", unit="factor", gt=0, le=64)
    shards: tuple[str, ...] = setting(("*",), "Globs over `<domain>/<shard>`.")
    documents: str | None = setting(None, "A file of doc_ids, one a line, relative to this file; null takes all.")


class PhaseConfig(StrictModel):
    """A stretch of training; what it does not say is as the mixture has it."""

    tokens: int | None = setting(None, "Its length; null, in the last phase only, is without end.", unit="tokens", ge=1)
    domains: dict[str, DomainShare] | None = setting(None, "Domains and their weights; null is the mixture's.")
    sequence_length: int | None = setting(
        None, "Length of a sequence; null is the mixture's.", unit="tokens", ge=2, le=1 << 24
    )
    packing: Packing | None = setting(None, "How documents fill sequences; null is the mixture's.")
    temperature: float | None = setting(None, "Evens out shares; null is the mixture's.", unit="exponent", gt=0)

    @field_validator("domains", mode="before")
    @classmethod
    def _every(cls, value: Any) -> Any:
        return {EVERY: {}} if value == EVERY else value

    @field_validator("domains")
    @classmethod
    def _weighted(cls, value: dict[str, DomainShare] | None) -> dict[str, DomainShare] | None:
        return None if value is None else _checked(value)


class Mixture(StrictModel):
    """A mixture file."""

    run: str | None = setting(
        None,
        "The run folder, relative to this file, or for a shipped one to the current folder; `--run` takes precedence.",
    )
    bins: str | None = setting(None, "Token bins, relative to this file or a URI; null: the run's own, made on demand.")
    domains: dict[str, DomainShare] = setting(..., 'Domains by name, or `"*"` for all of the run, weighted by tokens.')
    temperature: float = setting(
        1.0, "Shares ∝ weight^(1/temperature): above 1 small domains gain, below 1 large ones.", unit="exponent", gt=0
    )
    curve: str = setting(CURRENT, "Weights: current, none, the name of a set of curves, or the beginning of its hash.")
    boosts: tuple[BoostConfig, ...] = setting((), "Documents that come more often, or less.")
    sequence_length: int = setting(..., "Length of a sequence.", unit="tokens", ge=2, le=1 << 24)
    seed: int = setting(..., "Seed of the order of documents and of their copies.", ge=0, lt=1 << 63)
    packing: Packing = setting(
        "concat",
        "How documents fill sequences: one behind the other across borders, whole documents with some padding, or one"
        " document a sequence.",
    )
    split: Literal["train", "heldout"] = setting("train", "Which split of the run is read.")
    shuffle_block_tokens: int = setting(
        1 << 22, "Documents are shuffled within blocks; larger ones mix better, at more memory.", unit="tokens", ge=1
    )
    phases: tuple[PhaseConfig, ...] = setting((), "Stretches of training, in order; empty is a single one without end.")
    tokenizer: TokenizerConfig = setting(TokenizerConfig(), "How the tokenizer is trained, where no bins are named.")

    @field_validator("domains", mode="before")
    @classmethod
    def _every(cls, value: Any) -> Any:
        return {EVERY: {}} if value == EVERY else value

    @field_validator("domains")
    @classmethod
    def _weighted(cls, value: dict[str, DomainShare]) -> dict[str, DomainShare]:
        return _checked(value)

    @field_validator("phases")
    @classmethod
    def _lengths(cls, value: tuple[PhaseConfig, ...]) -> tuple[PhaseConfig, ...]:
        for number, phase in enumerate(value[:-1]):
            if phase.tokens is None:
                raise Refused(f"{number}.tokens", None, "a number, as only the last phase may go on without end")
        return value

    @model_validator(mode="after")
    def _own_bins(self) -> Mixture:
        if self.bins is not None and "tokenizer" in self.model_fields_set:
            raise Refused("bins", self.bins, "`bins` or `tokenizer`, not both: the bins have a tokenizer already")
        return self

    @property
    def longest_sequence(self) -> int:
        """Tokens of a sequence, in the phase that has the most."""
        return max(stretch.sequence_length or 0 for stretch in self.stretches())

    def stretches(self) -> list[PhaseConfig]:
        """The phases, whole: one that goes on without end where the file names none."""
        base = {name: getattr(self, name) for name in ("domains", "sequence_length", "packing", "temperature")}
        return [
            PhaseConfig.model_validate(
                {
                    **base,
                    **{name: value for name in PhaseConfig.model_fields if (value := getattr(phase, name)) is not None},
                }
            )
            for phase in self.phases or (PhaseConfig(),)
        ]


def _checked(value: dict[str, DomainShare]) -> dict[str, DomainShare]:
    if EVERY in value and (len(value) > 1 or {"weight", "shards"} & value[EVERY].model_fields_set):
        raise ValueError('"*" alone and without a weight, as it weighs every domain by its tokens')
    if not any(share.weight > 0 for share in value.values()):
        raise ValueError("at least one domain with a weight above 0")
    return value


def load_mixture(path: Path, run: Path | None = None, bins: str | None = None) -> tuple[Mixture, Path]:
    """Read a mixture file and find its run: the mixture, with absolute paths, and the run folder. `run` and `bins` take
    precedence over the file's.

    Raises:
        ConfigError: as `load_config`; or no run is named, or it is not a folder.
    """
    mixture, base = load_config(Mixture, path), base_folder(path)
    if run is None:
        if mixture.run is None:
            raise ConfigError(f"{path}: run: found nothing, and no --run was given; expected a run folder")
        run = (base / mixture.run).resolve()
    if not run.is_dir():
        raise ConfigError(f"{path}: run: found {str(run)!r}, which is no folder; expected a run (name it by --run)")
    if bins is None and mixture.bins is not None:
        bins = mixture.bins if "://" in mixture.bins else str((base / mixture.bins).resolve())
    boosts = tuple(
        boost
        if boost.documents is None
        else boost.model_copy(update={"documents": str((base / boost.documents).resolve())})
        for boost in mixture.boosts
    )
    return mixture.model_copy(update={"bins": bins, "boosts": boosts}), run


def resolve_shares(
    domains: dict[str, DomainShare], tokens: dict[str, float], temperature: float = 1.0, split: str = "train"
) -> dict[str, DomainShare]:
    """The domains that a phase draws from, with their shares, proportional to weight^(1/temperature). `tokens` are
    those expected of an epoch of every domain, zero if the split has none.

    Returns:
        Domains with a weight above zero, in name order; their weights are the shares, which sum to about 1.

    Raises:
        ConfigError: an unknown domain, or one with a weight and no tokens.
    """
    if EVERY in domains:
        limit = domains[EVERY].max_epochs
        domains = {name: DomainShare(weight=float(size), max_epochs=limit) for name, size in tokens.items()}
    for name, share in domains.items():
        if name not in tokens:
            raise ConfigError(
                f"domains.{name}: found a domain that the run does not have; expected {', '.join(sorted(tokens))}"
            )
        if share.weight > 0 and not tokens[name]:
            raise ConfigError(
                f"domains.{name}.weight: found {share.weight:g}, but the domain has no tokens in split "
                f"{split}; expected 0"
            )
    found = {name: domains[name] for name in sorted(domains) if domains[name].weight > 0}
    if not found:
        raise ConfigError(
            f"split: found {split}, in which no domain of the run has tokens; expected a split with tokens"
        )
    top = max(share.weight for share in found.values())
    raised = {name: (share.weight / top) ** (1 / temperature) for name, share in found.items()}
    total = sum(raised.values())
    for name, value in raised.items():
        if value / total < _LEAST:
            raise ConfigError(
                f"domains.{name}.weight: found {found[name].weight:g}, which at temperature {temperature:g} is a "
                f"share of {value / total:.1e}; expected 0, or a share of at least {_LEAST:g}"
            )
    return {name: share.model_copy(update={"weight": raised[name] / total}) for name, share in found.items()}
