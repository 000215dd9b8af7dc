#!/usr/bin/env python3
"""Word vectors beside gensim, in one run: `make bench-text` (DATA=FOLDER with word_similarity.zip).

- training Word2Vec: the same corpus (GCIDE and WordNet 3.0 as Debian packs them, about 9 million words), the same settings, two threads:
  words per second of the epochs alone and of the whole command, and Spearman's rank correlation on sets of word pairs;
- reading: gensim's own test files (of its wheel), each vector beside what gensim reads from the same file;
- opening: 3 million words of 300 numbers, the time until the first word is embedded; nearest words by lists beside every row looked at.

Prints `ratio NAME VALUE` lines: above 1 the hub is quicker; for quality the difference of the correlations.
BENCH_PARTS=train,files,open chooses; BENCH_WORDS=N takes the first N words of the corpus; BENCH_EPOCHS (5).
"""
import functools
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import CACHE, HUB, build_hub, python_with, ratio, run  # noqa: E402

DATA = Path(os.environ.get("DATA", "."))
PARTS = os.environ.get("BENCH_PARTS", "train,files,open").split(",")
WORDS = int(os.environ.get("BENCH_WORDS", "20000000"))
EPOCHS = int(os.environ.get("BENCH_EPOCHS", "5"))
THREADS = 2
SETS = ["EN-WS-353-ALL", "EN-WS-353-SIM", "EN-WS-353-REL", "EN-MEN-TR-3k", "EN-RG-65", "EN-MC-30", "EN-MTurk-287", "EN-MTurk-771", "EN-SIMLEX-999"]
DICTIONARIES = ["dict-gcide", "dict-wn"]
DIGITS = {c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}


def hub(*args, more={}):
    """What the hub prints as JSON, and how long it took."""
    begun = time.time()
    environment = os.environ | {"HUB_THREADS": str(THREADS)} | more
    out = subprocess.run([HUB, *map(str, args), "--json"], env=environment, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(out), time.time() - begun


def peer(script, *args):
    """What a script prints as JSON in a Python that has gensim."""
    python = python_with("gensim", "gensim==4.4.0")
    return json.loads(subprocess.run([python, "-c", script, *map(str, args)], check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def entries(name, folder):
    """The entries of a dictionary in dictd's form: an index of base-64 offsets and lengths into a gzip file."""
    number = functools.partial(functools.reduce, lambda sum_, c: sum_ * 64 + DIGITS[c])
    text = gzip.decompress((folder / f"{name}.dict.dz").read_bytes())
    seen = set()
    for line in (folder / f"{name}.index").read_text(encoding="utf-8", errors="replace").splitlines():
        head, _, place = line.partition("\t")
        offset, length = (number(piece.strip(), 0) for piece in place.split("\t")[:2])
        if offset not in seen and not head.startswith("00-"):
            seen.add(offset)
            yield text[offset : offset + length].decode("utf-8", "replace")


def corpus():
    """A line an entry, words in lower case; kept in the cache."""
    kept = CACHE / "assets" / f"dictionaries-{WORDS}.txt"
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", "-q", *DICTIONARIES], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for package in Path(folder).glob("*.deb"):
            run("dpkg-deb", "-x", package, Path(folder) / "x")
        lines, count = [], 0
        for name in ("gcide", "wn"):
            for entry in entries(name, Path(folder) / "x/usr/share/dictd"):
                words = re.findall(r"[a-z]+(?:'[a-z]+)?", entry.lower())
                if len(words) > 3 and count < WORDS:
                    lines.append(" ".join(words))
                    count += len(words)
    kept.write_text("\n".join(lines) + "\n")
    return kept


GENSIM_TRAIN = """
import json, sys, time
from gensim.models import Word2Vec
from gensim.models.word2vec import LineSentence
corpus, sg, epochs, threads, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
# word2vec's own rates, which the hub takes; gensim leaves CBOW at that of skip-gram.
alpha = 0.025 if sg else 0.05
begun = time.time()
model = Word2Vec(vector_size=100, window=5, min_count=5, sg=sg, negative=5, sample=1e-3, alpha=alpha, workers=threads, seed=1)
model.build_vocab(corpus_file=None, corpus_iterable=LineSentence(corpus))
counted = time.time()
model.train(corpus_file=corpus, total_examples=model.corpus_count, total_words=model.corpus_total_words, epochs=epochs)
ended = time.time()
model.wv.save_word2vec_format(out, binary=True)
words = sum(model.wv.get_vecattr(w, "count") for w in model.wv.index_to_key)
print(json.dumps({"words": len(model.wv), "per_second": words * epochs / (ended - counted), "seconds": ended - begun}))
"""


def spearmans(model, folder):
    pairs = [argument for name in SETS for argument in ("--pairs", folder / f"{name}.txt")]
    found, _ = hub("similarity", *pairs, "--model", model)
    return {one["set"]: one for one in found["sets"]}


def bench_train(work):
    if not (DATA / "word_similarity.zip").exists():
        sys.exit(f"{DATA / 'word_similarity.zip'} is not there: DATA names the folder that has it, or BENCH_PARTS=files,open leaves it out")
    text = corpus()
    with zipfile.ZipFile(DATA / "word_similarity.zip") as archive:
        archive.extractall(work / "pairs")
    for name, sg in (("skipgram", 1), ("cbow", 0)):
        theirs = peer(GENSIM_TRAIN, text, sg, EPOCHS, THREADS, work / f"gensim-{name}.bin")
        ours, seconds = hub("train", "word2vec", text, "--to", work / f"hub-{name}", "--model", name, "--epochs", EPOCHS, "--tokenizer", "whitespace")
        hub("import", work / f"gensim-{name}.bin", "--to", work / f"gensim-{name}")
        print(f"{name}: hub {ours['words_per_second']:,.0f} words/s, {seconds:.1f} s in all, {ours['words']} words; "
              f"gensim {theirs['per_second']:,.0f} words/s, {theirs['seconds']:.1f} s, {theirs['words']} words")
        ratio(f"word2vec-{name}-words-per-second", ours["words_per_second"] / theirs["per_second"])
        ratio(f"word2vec-{name}-whole", theirs["seconds"] / seconds)
        of_hub, of_gensim = spearmans(work / f"hub-{name}", work / "pairs"), spearmans(work / f"gensim-{name}", work / "pairs")
        print(f"{'set':16} {'pairs':>6} {'hub':>7} {'gensim':>7}")
        for one in SETS:
            print(f"{one:16} {of_hub[one]['pairs']:6} {of_hub[one]['spearman']:7.3f} {of_gensim[one]['spearman']:7.3f}")
        mean = [statistics.mean(one["spearman"] for one in of.values()) for of in (of_hub, of_gensim)]
        print(f"{'mean':16} {'':6} {mean[0]:7.3f} {mean[1]:7.3f}")
        # A ratio like the others: 1 where both agree with people equally well.
        ratio(f"word2vec-{name}-spearman", mean[0] / mean[1])


GENSIM_READ = """
import json, sys
from pathlib import Path
import numpy as np
from gensim.models import KeyedVectors, Word2Vec
from gensim.models.fasttext import load_facebook_vectors
from gensim.test.utils import datapath
kind, name, out = sys.argv[1:4]
path = datapath(name)
read = {
    "word2vec-binary": lambda: KeyedVectors.load_word2vec_format(path, binary=True),
    "word2vec-text": lambda: KeyedVectors.load_word2vec_format(path, binary=False),
    "glove": lambda: KeyedVectors.load_word2vec_format(path, binary=False, no_header=True),
    "fasttext": lambda: load_facebook_vectors(path),
    "saved": lambda: KeyedVectors.load_word2vec_format(path, binary=False),
    "saved-apart": lambda: KeyedVectors.load_word2vec_format(path, binary=False),
    "saved-model": lambda: Word2Vec.load(path).wv,
}[kind]()
if kind in ("saved", "saved-apart"):
    path = out + ".kv"
    read.save(path, separately=["vectors"] if kind == "saved-apart" else [])
words = list(read.index_to_key)
strange = ["unheard", "Zürich", "night" * 3] if kind == "fasttext" else []
vectors = [read[word].tolist() for word in words[:500] + strange]
Path(out).write_text(json.dumps({"words": words[:500] + strange, "all": len(words), "vectors": vectors, "path": path}))
print(json.dumps(len(words)))
"""
FILES = [
    ("word2vec-binary", "euclidean_vectors.bin"), ("word2vec-text", "lee_fasttext.vec"), ("glove", "test_glove.txt"),
    ("fasttext", "lee_fasttext.bin"), ("fasttext", "lee_fasttext_new.bin"), ("fasttext", "non_ascii_fasttext.bin"),
    ("fasttext", "crime-and-punishment.bin"), ("saved", "toy-model.vec"), ("saved-apart", "lee_fasttext.vec"),
    ("saved-model", "model-from-gensim-3.8.0.w2v"),
]


def bench_files(work):
    for kind, name in FILES:
        theirs = work / f"{kind}-{name}.json"
        count = peer(GENSIM_READ, kind, name, theirs)
        known = json.loads(theirs.read_text())
        imported, seconds = hub("import", known["path"], "--to", work / f"read-{kind}-{name}")
        # Some words begin with a dash, and are no flags.
        asked = [f"--word={word}" for word in known["words"]]
        found = hub("vectors", "--model", work / f"read-{kind}-{name}", *asked)[0]["words"]
        worst = max(max(abs(a - b) for a, b in zip(one["vector"], vector)) for one, vector in zip(found, known["vectors"]))
        print(f"{kind:16} {name:30} {count:6} words, {imported['form']}: largest difference {worst:.1e}")
        assert worst < 1e-5, name


def bench_open(work):
    """A model of 3 million words, as the hub imports it from word2vec's binary form."""
    count, width = 3_000_000, 300
    source = work / "large.bin"
    script = """
import sys, numpy as np
count, width, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
random = np.random.default_rng(0)
# Words of one topic lie together, as those of a language do.
topics = random.standard_normal((3000, width), dtype=np.float32)
with open(path, "wb") as out:
    out.write(f"{count} {width}\\n".encode())
    for begin in range(0, count, 10000):
        rows = topics[random.integers(0, len(topics), 10000)] + random.standard_normal((10000, width), dtype=np.float32)
        out.write(b"".join(b"word%d " % (begin + i) + rows[i].tobytes() for i in range(10000)))
"""
    run(python_with("gensim", "gensim==4.4.0"), "-c", script, count, width, source)
    _, seconds = hub("import", source, "--to", work / "large", "--dtype", "f16")
    print(f"import of {count} x {width}: {seconds:.1f} s")
    times = []
    for _ in range(5):
        found, _ = hub("vectors", "--model", work / "large", "--word", "word2999999")
        times.append(found["opened_ms"] + found["embedded_ms"])
    print(f"open and embed one word: {statistics.median(times):.2f} ms")
    ratio("word-vectors-open-under-50ms", 50 / statistics.median(times))
    # A hundred words in one command, so that starting the program does not count; lists are found in the first one and kept.
    words = [f"word{at * 29_989}" for at in range(100)]
    with_home = {"HUB_CACHE": str(work / "cache")}
    exact, _ = hub("neighbors", *words, "--model", work / "large", "--exact", more=with_home)
    _, finding = hub("neighbors", "word7", "--model", work / "large", more=with_home)
    _, every = hub("neighbors", *words, "--model", work / "large", "--exact", more=with_home)
    quick, few = hub("neighbors", *words, "--model", work / "large", more=with_home)
    near = lambda found: [{one["word"] for one in each["neighbors"]} for each in found["words"]]
    recall = statistics.mean(len(a & b) / len(a) for a, b in zip(near(exact), near(quick)))
    print(f"ten nearest of {count} words for 100 words: every row {every:.2f} s, lists {few:.2f} s (found in {finding:.0f} s), recall@10 {recall:.3f}")
    ratio("word-neighbors-by-lists", every / few)


def main():
    build_hub()
    with tempfile.TemporaryDirectory(prefix="bench-text-") as folder:
        for part in PARTS:
            globals()[f"bench_{part}"](Path(folder))


main()
