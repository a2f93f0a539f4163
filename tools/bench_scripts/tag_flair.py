"""Flair's tagger, about as large as ours: words, characters by a BiLSTM, a BiLSTM, a CRF. Its training is left early.

DATA WORK: the folder of CoNLL-2000, where files without gzip are put.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import flair
import torch
from _tag import BATCH, Clock, Enough, measure, read
from flair.data import Dictionary, Sentence
from flair.datasets import ColumnCorpus
from flair.embeddings import CharacterEmbeddings, OneHotEmbeddings, StackedEmbeddings
from flair.models import SequenceTagger
from flair.trainers import ModelTrainer

CHUNK = "chunk"


def main(data: Path, work: Path) -> None:
    flair.device = torch.device("cpu")
    flair.set_seed(int(os.environ["SEED"]))
    sentences = read(data / "train.txt.gz", 2)
    folder = work / "flair"
    folder.mkdir(exist_ok=True)
    (folder / "train.txt").write_text("".join(
        "".join(f"{word} {tag}\n" for word, tag in zip(*sentence, strict=True)) + "\n" for sentence in sentences),
        encoding="utf-8")
    corpus = ColumnCorpus(folder, {0: "text", 1: CHUNK}, train_file="train.txt", autofind_splits=False,
                          sample_missing_splits=False)
    characters = Dictionary()
    for character in sorted({letter for sentence in sentences for word in sentence.words for letter in word}):
        characters.add_item(character)
    embeddings = StackedEmbeddings([
        OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=100),
        CharacterEmbeddings(path_to_char_dict=characters, char_embedding_dim=30, hidden_size_char=60),
    ])
    tagger = SequenceTagger(embeddings=embeddings, tag_dictionary=corpus.make_label_dictionary(CHUNK, add_unk=False),
                            tag_type=CHUNK, hidden_size=200, rnn_layers=1, use_crf=True)
    clock = watched(tagger)
    with suppress(Enough):
        ModelTrainer(tagger, corpus).train(folder / "run", mini_batch_size=BATCH, max_epochs=100,
                                           embeddings_storage_mode="none", save_final_model=False)
    tagger.eval()

    def tag(some: list[list[str]]) -> int:
        made = [Sentence(words, use_tokenizer=False) for words in some]
        tagger.predict(made, mini_batch_size=BATCH, embedding_storage_mode="none")
        return sum(len([(span.tag, span[0].idx, span[-1].idx) for span in sentence.get_spans(CHUNK)])
                   for sentence in made)

    measure(clock, tag, read(data / "test.txt.gz", 2), sentences[:BATCH],
            {"parameters": sum(one.numel() for one in tagger.parameters()), "threads": torch.get_num_threads()})


def watched(tagger: SequenceTagger) -> Clock:
    """Count the words of a batch as the next begins: then its update has ended."""
    clock, forward, waiting = Clock(), tagger.forward_loss, [0]

    def forward_loss(sentences: list[Sentence]) -> object:
        if waiting[0]:
            clock.updated(waiting[0])
        waiting[0] = sum(map(len, sentences))
        return forward(sentences)

    tagger.forward_loss = forward_loss
    return clock


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
