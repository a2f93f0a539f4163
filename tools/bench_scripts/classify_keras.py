"""The four models of the Keras tutorial on reviews, in Keras itself.

MODEL WHAT BACKEND WORK: lstm, dropout, gates or convolution; "epoch" for the seconds of one, at the pace of some
updates, or "accuracy" for that on the test part after three epochs; torch or jax; what classify_data.py wrote.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

os.environ["KERAS_BACKEND"] = sys.argv[3]

import keras  # it reads that as it is imported
import numpy as np
from _classify import Clock, Enough
from keras import layers

BATCH, EPOCHS, WORDS, WIDTH, UNITS = 64, 3, 500, 32, 100
UPDATES = {"epoch": (3, 15), "accuracy": (0, 1_000_000)}
"""Those before the clock begins, and those that it measures."""
MODELS = {
    "lstm": lambda: [layers.LSTM(UNITS)],
    "dropout": lambda: [layers.Dropout(0.2), layers.LSTM(UNITS), layers.Dropout(0.2)],
    "gates": lambda: [layers.LSTM(UNITS, dropout=0.2, recurrent_dropout=0.2)],
    "convolution": lambda: [layers.Conv1D(32, 3, padding="same", activation="relu"), layers.MaxPooling1D(2),
                            layers.LSTM(UNITS)],
}


def main(name: str, what: str, work: Path) -> None:
    keras.utils.set_random_seed(int(os.environ["SEED"]))
    parts = {part: tuple(np.load(work / f"{part}.{what}.npy") for what in ("ids", "labels"))
             for part in ("train", "test")}
    ids, labels = parts["train"]
    model = keras.Sequential([keras.Input((WORDS,)), layers.Embedding(int(ids.max()) + 1, WIDTH), *MODELS[name](),
                              layers.Dense(1, activation="sigmoid")])
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    clock = Clock(*UPDATES[what])
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: clock.updated(min(BATCH, len(ids) - batch * BATCH)))  # noqa: ARG005
    with suppress(Enough):
        model.fit(ids, labels, epochs=EPOCHS, batch_size=BATCH, verbose=0, callbacks=[watch])
    figures = {}
    if what == "accuracy":
        figures["accuracy"] = 100 * model.evaluate(*parts["test"], verbose=0)[1]
    clock.report(figures, parameters=model.count_params(), threads=int(os.environ["OMP_NUM_THREADS"]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[4]))
