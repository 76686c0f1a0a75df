"""Trained models in EleutherAI's lm-evaluation-harness: its tasks, run with our model and tokenizer.

**Contexts and continuations.** Both are encoded together and split where the tokens of the context alone end, as in
the harness's other adapters. If a piece spans that boundary, which is frequent in Chinese as it has no spaces, the
split would lose part of the continuation; then the continuation is encoded by itself. So the tokens that are scored
always spell exactly the continuation. A context that is too long loses its beginning.

**Empty contexts.** An empty context is replaced by the end-of-document token, which precedes a document in the bins.
A model with a document mask was never trained to predict a first token from it, so that token's likelihood is
arbitrary: an error of a few nats for each text, the same for all choices of a question that begin alike.
`trainer.evaluation.perplexity` leaves the first token out.

**Generation** is greedy. There is no key-value cache: each token costs a forward pass over its whole row, so a text of
n tokens costs n²/2 tokens of work. Tasks that compare likelihoods cost one forward pass for each choice.

Source: Gao et al., lm-evaluation-harness 0.4, `lm_eval/api/model.py` and `models/huggingface.py`.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lm_eval.api.model import TemplateLM

from sampler.stream.batch import IGNORED
from sampler.tokenizer.model import Tokenizer
from tamis.errors import ConfigError, TamisError
from tamis.progress import SILENT, Progress
from trainer.evaluation.scores import Question, answer
from trainer.model import Transformer

MOST_NEW_TOKENS = 256
"""Length of a generated text if the task sets none: the harness's own default."""
_AT_A_TIME = 256  # requests between two reports of progress


class HarnessModel(TemplateLM):
    """A trained model, as `scoring_model` gives it, behind the harness's interface; `length` is its context window."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, length: int, progress: Progress = SILENT) -> None:
        super().__init__()
        self.model, self.tokens_of, self.length, self.progress = model, tokenizer, length, progress

    @property
    def eot_token_id(self) -> int:
        """The end-of-document token, which also replaces an empty context."""
        return self.tokens_of.eos_id

    @property
    def max_length(self) -> int:
        """Tokens of the model's context window."""
        return self.length

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer's identity, for the harness's caches of requests."""
        return self.tokens_of.digest

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids, without control pieces."""
        return self.tokens_of.encode(string)

    def encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Tokens of a context, at least one, and tokens that spell its continuation.

        White space at the context's end is moved to the continuation, as pieces begin with it.
        """
        cut = len(context.rstrip())
        context, continuation = context[:cut], context[cut:] + continuation
        before, whole = self.tok_encode(context), self.tok_encode(context + continuation)
        clean = whole[: len(before)] == before
        return before or [self.eot_token_id], whole[len(before) :] if clean else self.tok_encode(continuation)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation, and whether greedy decoding would give it.

        Requests have `args` (context, continuation). `disable_tqdm`, here and below, is the harness's; it is ignored.
        """
        pairs = [self.encode_pair(*request.args) for request in requests]
        found = self._ask([(before + after, len(before)) for before, after in pairs], "comparing likelihoods")
        for request, value in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, value)
        return found

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of whole texts, `args` (text,): every token once, with the context that its window has."""
        rows = [([self.eot_token_id, *self.tok_encode(request.args[0])], 1) for request in requests]
        found = [value for value, _ in self._ask(rows, "rolling over texts")]
        for request, value in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, value)
        return found

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuations, up to a stop string, the end of the document, or a number of tokens.

        Requests have `args` (context, settings): `until`, `max_gen_toks`.

        Raises:
            ConfigError: a task asks for sampling.
        """
        from lm_eval.models.utils import normalize_gen_kwargs

        settings = [normalize_gen_kwargs(request.args[1], MOST_NEW_TOKENS) for request in requests]
        if any(setting["do_sample"] for setting in settings):
            raise ConfigError("generation_kwargs.do_sample: found true in a task; expected false, as it is greedy")
        contexts = [self.tok_encode(request.args[0]) or [self.eot_token_id] for request in requests]
        said: list[list[int]] = [[] for _ in requests]
        open_rows = list(range(len(requests)))
        self.progress.start("generating", len(requests))
        while open_rows:
            rows = [(contexts[number] + said[number])[-self.length :] for number in open_rows]
            for number, token in zip(open_rows, self._next_tokens(rows), strict=True):
                said[number].append(token)
            open_rows = [number for number in open_rows if not self._ended(said[number], settings[number])]
            self.progress.update(len(requests) - len(open_rows))
        self.progress.finish()
        found = [self._text(tokens, setting) for tokens, setting in zip(said, settings, strict=True)]
        for request, text in zip(requests, found, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, text)
        return found

    def _next_tokens(self, rows: Sequence[list[int]]) -> list[int]:
        questions = [_asked(np.array([*row, 0]), len(row)) for row in rows]
        return [int(each.likeliest[0]) for each in answer(self.model, questions)]

    def _ended(self, said: list[int], setting: Any) -> bool:
        if said[-1] == self.eot_token_id or len(said) >= setting["max_gen_toks"]:
            return True
        return any(stop and stop in self.tokens_of.decode(said) for stop in setting["until"])

    def _text(self, said: list[int], setting: Any) -> str:
        text = self.tokens_of.decode(said)
        return min((text.split(stop)[0] for stop in setting["until"] if stop), key=len, default=text)

    def _ask(self, rows: Sequence[tuple[list[int], int]], what: str) -> list[tuple[float, bool]]:
        """For each (tokens, first): the log-likelihood of tokens[first:], and whether each is the likeliest."""
        found = []
        self.progress.start(what, len(rows))
        for start in range(0, len(rows), _AT_A_TIME):
            part = [windows(tokens, first, self.length) for tokens, first in rows[start : start + _AT_A_TIME]]
            answers = iter(answer(self.model, [window for questions in part for window in questions]))
            for questions in part:
                said = [(next(answers), window.labels[window.labels != IGNORED]) for window in questions]
                likelihood = -sum(float(each.nats.sum()) for each, _ in said)
                found.append((likelihood, all(bool((each.likeliest == wanted).all()) for each, wanted in said)))
            self.progress.update(len(found))
        self.progress.finish()
        return found

    def _loglikelihood_tokens(self, requests: list[Any], **kwargs: Any) -> list[tuple[float, bool]]:
        """As `loglikelihood`, for requests that the harness has encoded."""
        return self._ask([(before + after, len(before)) for _, before, after in requests], "comparing likelihoods")


def windows(tokens: Sequence[int], first: int, length: int) -> list[Question]:
    """A row in windows that fit a model of `length` tokens: each token from `first` ≥ 1 on is asked about once.

    Each window asks about `length` tokens, the last one about the rest, after as many tokens of context as fit.
    """
    row, found = np.array(tokens, np.int64), []
    for start in range(first, len(row), length):
        stop = min(start + length, len(row))
        begin = max(0, stop - 1 - length)
        found.append(_asked(row[begin:stop], start - begin))
    return found


def _asked(row: np.ndarray[Any, np.dtype[np.int64]], first: int) -> Question:
    labels = row[1:].copy()
    labels[: first - 1] = IGNORED
    return Question(tokens=row[:-1], labels=labels)


def run_tasks(
    model: HarnessModel,
    tasks: Sequence[str],
    folder: Path | None = None,
    *,
    limit: int | None = None,
    examples: int | None = None,
) -> dict[str, Any]:
    """Run tasks, groups or tags of the harness; returns task → its metrics, their errors, `documents` and `version`.

    `folder` has YAML files of further tasks. If it has all that are asked for, the harness's own are not scanned, which
    would take 15 s. `limit`: only the first so many documents of a task; `examples`: shown before each question, by
    default the task's own number.

    Raises:
        ConfigError: a task is unknown, or this adapter does not support it.
        TamisError: a task's data cannot be loaded.
    """
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    where = str(folder) if folder else None
    manager = TaskManager(include_path=where, include_defaults=False)
    if set(tasks) - set(manager.all_tasks):
        manager = TaskManager(include_path=where)
    for name in tasks:
        if name not in manager.all_tasks:
            near = difflib.get_close_matches(name, manager.all_tasks, n=3)
            what = f"for example {', '.join(near)}" if near else "tasks of the harness, and of --include-path"
            raise ConfigError(f"--tasks: found {name!r}, which is no task; expected {what}")
    try:
        found: Any = simple_evaluate(
            model=model, tasks=list(tasks), task_manager=manager, limit=limit, num_fewshot=examples, log_samples=False
        )
    except (OSError, ValueError) as error:
        raise TamisError(f"tasks {', '.join(tasks)}: cannot be asked ({_first_line(error)}).") from error
    return {name: _measures(found, name) for name in sorted(found["results"])}


def _measures(found: dict[str, Any], name: str) -> dict[str, Any]:
    """A task's metrics: "acc,none" is `acc`, with a filter of another name "exact_match (strict)"."""
    measures: dict[str, Any] = {
        "documents": found["n-samples"].get(name, {}).get("effective"),
        "version": found["versions"].get(name),
    }
    for key, value in found["results"][name].items():
        metric, _, kind = key.partition(",")
        if kind and isinstance(value, int | float):
            measures[metric if kind == "none" else f"{metric} ({kind})"] = float(value)
    return measures


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
