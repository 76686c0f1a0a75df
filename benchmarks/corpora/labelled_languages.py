"""Files whose texts carry the language that they are written in."""

from __future__ import annotations

from pathlib import Path

from benchmarks.corpora.base_text import read_records
from text.arrow import TextColumn

UDHR = {
    "Belorus_Belaruski": "be",
    "Bengali": "bn",
    "Bulgarian_Balgarski": "bg",
    "Czech": "cs",
    "Esperanto": "eo",
    "Gujarati": "gu",
    "Hindi": "hi",
    "Hungarian_Magyar": "hu",
    "Kannada": "kn",
    "Lao": "lo",
    "Macedonian": "mk",
    "Maltese": "mt",
    "Marathi": "mr",
    "Osetin_Ossetian": "os",
    "Russian_Russky": "ru",
    "Sinhala": "si",
    "Turkish_Turkce": "tr",
    "Ukrainian": "uk",
    "Vietnamese": "vi",
    "Yoruba": "yo",
}
FILES = (
    "langid_udhr",
    "en_news_nyt",
    "en_news_bbc",
    "en_books_gutenberg",
    "en_brown",
    "zh_blog_weekly",
    "zh_books_novels",
    "zh_laws_versions",
    "zh_news_articles",
    "zh_academic_abstracts",
    "zh_reviews",
    "zh_tech_lctt",
    "zh_tech_goldminer",
    "web_pages_en",
    "web_pages_zh",
    "web_pages_multilingual",
)


def load(path: Path) -> tuple[TextColumn, list[str]]:
    """The texts of a file and the language each is labelled with; languages that lid.176 does not know are left out."""
    texts, languages = [], []
    for record in read_records(path):
        language = UDHR.get(str(record["name"])) if "name" in record else record["lang"]
        if language is not None:
            texts.append(str(record["text"]))
            languages.append(str(language))
    return TextColumn.from_texts(texts), languages
