"""How many bytes of a document lid.176 has to see: accuracy and speed by sample size.

    python -m benchmarks.filters.language_sample [--data ../shared/data]

Languages of `langid_udhr` that lid.176 does not know are left out. A document counts as right where the prediction is
its label; the labels of the multilingual pages come from a detector, so for them the figure is agreement.

Measured on 2026-11-22, one core of a busy 2-core AMD EPYC virtual machine. Files not shown differ by less than 0.1
point from 512 bytes in 4 pieces on:

    accuracy, % (bytes/pieces)  512/1   512/4  1024/1  1024/8  2048/1  2048/4 2048/16  4096/4   all/1
    langid_udhr                 90.00   90.00   90.00   90.00   90.00   90.00   90.00   90.00   90.00
    zh_blog_weekly              99.59   99.59   99.19   99.19   99.19   99.19   99.19   99.19   99.19
    zh_reviews                  91.42   91.43   91.42   91.43   91.43   91.43   91.43   91.43   91.43
    zh_tech_lctt                52.44   81.03   95.07   94.74   95.68   92.96   95.77   95.68   95.82
    zh_tech_goldminer           17.87   93.37   75.10   96.59   97.19   95.98   97.39   97.39   97.39
    web_pages_en                92.12   92.34   92.56   92.56   92.56   92.56   92.56   92.56   92.56
    web_pages_multilingual      96.92   98.54   98.21   98.70   98.54   98.54   98.54   98.54   98.54
    MB per CPU-s                  299     285     203     189     135     125     123      87      46
    fastText from Python, all bytes: 14.4 MB per CPU-s
"""

from __future__ import annotations

import time

from benchmarks.corpora.labelled_languages import FILES, load
from benchmarks.tools.command_line import command_line, require
from filters.language.lid import find_model, identify
from text.arrow import TextColumn

NEEDS = ("data", "fasttext")

SAMPLES = ((512, 1), (512, 4), (1024, 1), (1024, 8), (2048, 1), (2048, 2), (2048, 4), (2048, 16), (4096, 4), (0, 1))


def main() -> None:
    """Prints one row a file: accuracy for each sample, then the speed of each over everything."""
    parser = command_line(__doc__, NEEDS)
    options = parser.parse_args()
    require(NEEDS, options)
    files = {name: load(options.data / f"{name}.jsonl.zst") for name in FILES}
    header = " ".join(f"{size or 'all':>5}/{pieces}" for size, pieces in SAMPLES)
    print(f"{'accuracy, % (bytes/pieces)':<28} {'docs':>6} {header}")
    seconds = dict.fromkeys(SAMPLES, 0.0)
    identify(TextColumn.from_texts(["warm up"]))
    for name, (column, languages) in files.items():
        cells = []
        for size, pieces in SAMPLES:
            start = time.process_time()
            codes, _ = identify(column, sample_bytes=size, pieces=pieces)
            seconds[size, pieces] += time.process_time() - start
            right = sum(code == language for code, language in zip(codes.to_pylist(), languages, strict=True))
            cells.append(f"{100 * right / len(languages):7.2f}")
        print(f"{name:<28} {len(languages):>6} {' '.join(cells)}", flush=True)
    total = sum(column.nbytes for column, _ in files.values()) / 1e6
    print(f"{'MB per CPU-s, all files':<35} {' '.join(f'{total / seconds[key]:7.0f}' for key in SAMPLES)}")
    print(f"{'  fastText from Python, all bytes':<35} {total / fasttext_seconds(list(files.values())):7.1f}")


def fasttext_seconds(files: list[tuple[TextColumn, list[str]]]) -> float:
    """CPU seconds of the peer: fastText's own predict, one string a document."""
    import fasttext

    model = fasttext.FastText._FastText()
    model.f.loadModel(str(find_model()))
    texts = [column.text_at(i).replace("\n", " ") for column, _ in files for i in range(len(column))]
    start = time.process_time()
    for text in texts:
        model.predict(text)
    return time.process_time() - start


if __name__ == "__main__":
    main()
