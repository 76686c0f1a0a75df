"""Documents that a dedup engine must not fall for, and the true copies planted among them, in English and in Chinese.

All of it is made of real words (`tests.support.corpora`). A trap is a domain of its own, `<trap>_<lang>`; what may
stay and what must go is not said here: the oracle's similarity of every pair says it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.oracles.text import jaccard
from tests.support.corpora import Document, edited, texts

TEMPLATED, BOOKS, CALLS, CHAINS, EQUAL = 1500, 120, 500, 4, 2000
"""Documents of each trap and language; of CHAINS, chains."""
LINKS = 40
NEAR_COPIES = 40


@dataclass
class Words:
    """Words of a language (Chinese: characters) in the order of real passages."""

    lang: str
    rng: random.Random = field(init=False)
    stream: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"traps-{self.lang}")
        self.stream = [w for text in texts(self.lang) for w in self.split(text)]

    def split(self, text: str) -> list[str]:
        """The words of a text, without punctuation and markup."""
        if self.lang == "en":
            return [w for w in text.split() if w.strip(".,;").isalpha()]
        return [c for c in text if "\u4e00" <= c <= "\u9fff" or c in "，。"]

    def join(self, words: list[str]) -> str:
        """A text of words."""
        return (" " if self.lang == "en" else "").join(words)

    def run(self, count: int) -> list[str]:
        """So many words as they stand in some passage."""
        start = self.rng.randrange(len(self.stream) - count)
        return self.stream[start : start + count]

    def mixed(self, count: int) -> str:
        """So many words from anywhere: a value that no other document has."""
        return self.join(self.rng.choices(self.stream, k=count))


def template(w: Words, domain: str) -> list[Document]:
    """Product pages and form letters: two frames with slots, filled in; two documents of a frame share some 60 %."""
    frames = []
    for slots in ((14, 11), (9, 10, 9)):
        cuts = [w.run(130 // (len(slots) + 1)) for _ in range(len(slots) + 1)]
        frames.append((cuts, slots))
    made = []
    for number in range(TEMPLATED):
        cuts, slots = frames[number % 2]
        pieces = [w.join(cuts[0])]
        for cut, slot in zip(cuts[1:], slots, strict=True):
            pieces += [w.mixed(slot), w.join(cut)]
        made.append(_document(domain, w, number, " \n".join(pieces)))
    return made + _near_copies(made, domain, w)


def licence(w: Words, domain: str) -> list[Document]:
    """Distinct books between the same head and the same tail, which are longer than they are."""
    head, tail = w.join(w.run(110)), w.join(w.run(240 if w.lang == "en" else 490))
    books = texts(w.lang)[:BOOKS]
    return [_document(domain, w, n, f"{head}\n\n{book}\n\n{tail}") for n, book in enumerate(books)]


def calls(w: Words, domain: str) -> list[Document]:
    """Function calls as JSON: the same schema and the same keys, other values.

    Some come again with one value changed, some with other white space, which "exact" does not see through.
    """
    schema = {
        "type": "function",
        "name": "search_catalogue",
        "description": w.mixed(40),
        "strict": True,
        "parameters": {
            name: {"type": "string", "description": w.mixed(9), "required": True}
            for name in ("query", "location", "from_date", "to_date", "language", "max_results")
        },
    }
    made = []
    for number in range(CALLS):
        call = {"query": w.mixed(10), "location": w.mixed(5), "language": w.mixed(3), "max_results": number}
        body = {
            "tools": [schema],
            "user": w.mixed(16),
            "call": call,
            "observation": {"status": "ok", "title": w.mixed(7)},
        }
        made.append(_document(domain, w, number, json.dumps(body, ensure_ascii=False)))
    for number, first in enumerate(made[:NEAR_COPIES]):
        body = json.loads(first.text)
        if number % 2:
            body["call"]["max_results"] = 10_000 + number
        text = json.dumps(body, ensure_ascii=False, indent=None if number % 2 else 1)
        made.append(_document(domain, w, len(made), text, first))
    return made


def chain(w: Words, domain: str) -> list[Document]:
    """Chains in which each document is the one before with a window of new words; the window goes on round the text."""
    size, step = 200, 10
    made: list[Document] = []
    for number in range(CHAINS):
        words, before = w.run(size), None
        for link in range(LINKS):
            name = f"{number}-{link:02d}"
            before = _document(domain, w, name, w.join(words), before)
            made.append(before)
            for place in range(link * step, (link + 1) * step):
                words[place % size] = w.rng.choice(w.stream)
    return made


def equal(w: Words, domain: str) -> list[Document]:
    """One text thousands of times, each with other punctuation: equal signatures, no two of them exact copies.

    Beside them near copies of it, and documents of their own.
    """
    words = w.run(100)
    made = []
    for number in range(EQUAL):
        marks = [" — " if number >> bit & 1 else " " for bit in range(11)]
        pieces = [w.join(words[9 * i : 9 * i + 9]) + marks[i] for i in range(11)]
        made.append(_document(domain, w, number, "".join(pieces)))
    return (
        made
        + _near_copies(made, domain, w)
        + [_document(domain, w, f"other-{n}", text) for n, text in enumerate(texts(w.lang)[-60:])]
    )


def _near_copies(made: list[Document], domain: str, w: Words) -> list[Document]:
    """Edited copies of the first documents."""
    return [
        _document(domain, w, f"copy-{n:02d}", edited(first.text, w.lang, 0.85, 0.95, w.rng), first)
        for n, first in enumerate(made[:NEAR_COPIES])
    ]


def _document(domain: str, w: Words, number: int | str, text: str, of: Document | None = None) -> Document:
    name = f"{domain}-{number:04d}" if isinstance(number, int) else f"{domain}-{number}"
    similarity = jaccard(of.text, text) if of else None
    return Document(name, text, domain, w.lang, "trap", of.name if of else None, similarity)


TRAPS: dict[str, Callable[[Words, str], list[Document]]] = {
    "template": template,
    "licence": licence,
    "calls": calls,
    "chain": chain,
    "equal": equal,
}


def all_traps(lang: str) -> list[Document]:
    """Every trap in one language, each in a shuffled order."""
    w = Words(lang)
    found = []
    for name, make in TRAPS.items():
        documents = make(w, f"{name}_{lang}")
        w.rng.shuffle(documents)
        found += documents
    return found
