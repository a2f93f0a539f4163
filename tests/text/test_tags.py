import itertools
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval import scheme as seqeval

from seq2x.errors import DataError
from seq2x.text import Span, tags

SCHEMES = ("BIO", "IOB1", "IOBES", "BILOU")
LABELS = ("LOC", "A-B")


@st.composite
def sentences(draw, labels=LABELS):
    """A list of spans, and the number of words."""
    segments = draw(st.lists(st.tuples(st.sampled_from([None, *labels]), st.integers(1, 4)), max_size=8))
    found, length = [], 0
    for label, size in segments:
        if label is not None:
            found.append(Span(label, length, length + size))
        length += size
    return found, length


@cache
def valid_sequences(scheme, length, labels=LABELS):
    """Every valid sequence, by writing every way to lay spans: an oracle that knows no rule of neighbours."""
    found = set()

    def lay(laid, position):
        if position == length:
            found.add(tuple(tags.encode(laid, length, scheme)))
            return
        lay(laid, position + 1)
        for label in labels:
            for end in range(position + 1, length + 1):
                lay([*laid, Span(label, position, end)], end)

    lay([], 0)
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
@given(sentence=sentences())
def test_spans_to_tags_to_spans(scheme, sentence):
    expected, length = sentence
    written = tags.encode(expected, length, scheme)
    assert len(written) == length
    assert tags.spans(written, scheme) == expected


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("length", range(4))
def test_valid_are_those_that_some_spans_give(scheme, length):
    valid = valid_sequences(scheme, length)
    for sequence in itertools.product(tags.complete(LABELS, scheme), repeat=length):
        if sequence in valid:
            assert tuple(tags.encode(tags.spans(sequence, scheme), length, scheme)) == sequence
        else:
            for function in (tags.check, tags.spans):
                with pytest.raises(DataError, match=r"tag \d"):
                    function(sequence, scheme)


@pytest.mark.parametrize(
    ("scheme", "written"),
    [
        ("BIO", "B-X I-X B-X O B-Y B-X"),
        ("IOB1", "I-X I-X B-X O I-Y I-X"),
        ("IOBES", "B-X E-X S-X O S-Y S-X"),
        ("BILOU", "B-X L-X U-X O U-Y U-X"),
    ],
)
def test_schemes_as_written_by_hand(scheme, written):
    laid = [Span("X", 0, 2), Span("X", 2, 3), Span("Y", 4, 5), Span("X", 5, 6)]
    assert tags.encode(laid, 6, scheme) == written.split()
    assert tags.spans(written.split(), scheme) == laid


@pytest.mark.parametrize(("source", "target"), list(itertools.product(SCHEMES, repeat=2)))
@given(sentence=sentences())
def test_conversion_keeps_the_spans(source, target, sentence):
    written = tags.encode(*sentence, source)
    converted = tags.convert(written, source, target)
    assert converted == tags.encode(*sentence, target)
    assert tags.convert(converted, target, source) == written


def test_conversion_checks_and_never_invents():
    with pytest.raises(DataError, match="tag 2 of 2"):
        tags.convert(["O", "I-X"], "BIO", "BIO")
    for pair in (("none", "BIO"), ("BIO", "none")):
        with pytest.raises(DataError, match="one has spans, the other has none"):
            tags.convert(["O"], *pair)
    assert tags.convert(["DET", "NOUN"], "none", "none") == ["DET", "NOUN"]


@pytest.mark.parametrize(
    ("scheme", "theirs"),
    [("BIO", seqeval.IOB2), ("IOB1", seqeval.IOB1), ("IOBES", seqeval.IOBES), ("BILOU", seqeval.BILOU)],
)
@given(sentence=sentences(labels=("LOC", "PER")))
def test_spans_are_those_of_seqeval_strict(scheme, theirs, sentence):
    written = tags.encode(*sentence, scheme)
    (entities,) = seqeval.Entities([written], theirs).entities
    assert [Span(entity.tag, entity.start, entity.end) for entity in entities] == tags.spans(written, scheme)


@pytest.mark.parametrize(
    ("scheme", "written", "message"),
    [
        ("BIO", "O I-PER", "tag 2 of 2 is 'I-PER' after 'O'; BIO allows O or B-* here"),
        ("BIO", "I-PER", "tag 1 of 1 is 'I-PER' at the start; BIO allows O or B-* here"),
        ("BIO", "B-PER I-LOC", "tag 2 of 2 is 'I-LOC' after 'B-PER'; BIO allows O or B-* or I-PER here"),
        ("IOB1", "O B-PER", "tag 2 of 2 is 'B-PER' after 'O'; IOB1 allows O or I-* here"),
        ("IOBES", "B-PER O", "tag 2 of 2 is 'O' after 'B-PER'; IOBES allows I-PER or E-PER here"),
        ("IOBES", "S-PER E-PER", "tag 2 of 2 is 'E-PER' after 'S-PER'; IOBES allows O or B-* or S-* here"),
        ("BILOU", "O B-PER", "the tags end after tag 2, 'B-PER'; BILOU expects I-PER or L-PER next"),
        ("BIO", "O PER", "tag 2 of 2 is 'PER'; a tag of BIO is O, B-LABEL, I-LABEL"),
        ("BIO", "O E-PER", "tag 2 of 2 is 'E-PER'; a tag of BIO is O, B-LABEL, I-LABEL"),
        ("BILOU", "BI-PER", "tag 1 of 1 is 'BI-PER'; a tag of BILOU is O, B-LABEL, I-LABEL, L-LABEL, U-LABEL"),
        ("BIO", "B-", "tag 1 of 1 is 'B-'"),
        ("BIO", "-PER", "tag 1 of 1 is '-PER'"),
        ("BIO", "O-PER", "tag 1 of 1 is 'O-PER'"),
    ],
)
def test_errors_say_where_what_and_what_is_legal(scheme, written, message):
    with pytest.raises(DataError) as caught:
        tags.check(written.split(), scheme)
    assert str(caught.value).startswith(message)


def test_an_empty_tag_is_an_error_in_every_scheme():
    for scheme in (*SCHEMES, "none"):
        with pytest.raises(DataError, match="tag 2 of 2 is "):
            tags.check(["O", ""], scheme)


def test_independent_tags_have_no_spans():
    tags.check(["DET", "-LRB-", "O"], "none")
    assert tags.spans(["DET", "NOUN"], "none") == []
    assert tags.encode([], 2, "BIO") == ["O", "O"]
    with pytest.raises(DataError, match="'none' has no spans"):
        tags.encode([Span("X", 0, 1)], 2, "none")


@pytest.mark.parametrize(
    ("laid", "message"),
    [
        ([Span("X", 0, 2), Span("Y", 1, 3)], "the span 'Y' from 1 to 3 overlaps a span of 'X' that ends at 2"),
        ([Span("Y", 2, 3), Span("X", 2, 3)], "overlaps"),
        ([Span("X", 2, 4)], "expected 0 <= start < end <= 3 words"),
        ([Span("X", -1, 1)], "does not fit"),
        ([Span("X", 1, 1)], "does not fit"),
        ([Span("", 1, 2)], "has no label"),
    ],
)
def test_spans_that_no_tags_can_say(laid, message):
    for scheme in SCHEMES:
        with pytest.raises(DataError, match=message):
            tags.encode(laid, 3, scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_patterns_find_every_span_once(scheme):
    """In every valid sequence of 4 words, a span is there iff one of its patterns is, and then just one."""
    for written in valid_sequences(scheme, 4):
        there = tags.spans(written, scheme)
        for start, end in itertools.combinations(range(5), 2):
            fitting = [pattern for pattern in tags.patterns("A-B", end - start, scheme)
                       if pattern.tags == written[start:end]
                       and not pattern.not_before.intersection(written[max(start - 1, 0):start])
                       and not pattern.not_after.intersection(written[end:end + 1])]
            assert len(fitting) == (tags.Span("A-B", start, end) in there)


@pytest.mark.parametrize(("label", "size", "scheme"), [("X", 1, "none"), ("", 1, "BIO"), ("X", 0, "IOBES")])
def test_a_span_that_cannot_be_written_has_no_patterns(label, size, scheme):
    with pytest.raises(DataError, match="cannot be written"):
        tags.patterns(label, size, scheme)


def test_spans_may_come_in_any_order():
    assert tags.encode([Span("Y", 2, 3), Span("X", 0, 1)], 3, "BIO") == ["B-X", "O", "B-Y"]


@pytest.mark.parametrize("scheme", SCHEMES)
@given(data=st.data())
def test_legal_is_what_some_valid_sequence_does(scheme, data):
    """Over any selection of tags: there a rule of neighbours alone would lead into dead ends."""
    known = data.draw(st.lists(st.sampled_from(tags.complete(LABELS, scheme)), unique=True))
    sequences = [  # four words show every pair: one tag to reach it and one to end it are enough
        sequence for length in range(1, 5) for sequence in valid_sequences(scheme, length) if {*sequence} <= {*known}
    ]
    pairs = {pair for sequence in sequences for pair in itertools.pairwise(sequence)}
    found = tags.legal(known, scheme)
    assert found.transitions == [[(before, after) in pairs for after in known] for before in known]
    assert found.start == [tag in {sequence[0] for sequence in sequences} for tag in known]
    assert found.end == [tag in {sequence[-1] for sequence in sequences} for tag in known]


def test_independent_tags_may_do_everything():
    assert tags.legal(["DET", "NOUN"], "none") == ([[True] * 2] * 2, [True] * 2, [True] * 2)


def test_complete_and_labels_are_inverse():
    assert tags.complete({"B", "A"}, "IOBES") == ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B"]
    assert tags.complete(["NOUN", "DET"], "none") == ["DET", "NOUN"]
    for scheme in SCHEMES:
        assert tags.labels_of(tags.complete(LABELS, scheme), scheme) == {*LABELS}
    assert tags.labels_of(["DET", "O"], "none") == {"DET", "O"}
    with pytest.raises(DataError, match="a tag is 'E-X'"):
        tags.labels_of(["E-X"], "BIO")


@pytest.mark.parametrize("scheme", SCHEMES)
@given(sentence=sentences())
def test_detect_knows_every_scheme_by_its_spans(scheme, sentence):
    laid, length = sentence
    assert tags.detect([tags.encode(laid, length, scheme)]) == (scheme if laid else None)


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ([], None),
        ([["O", "O"]], None),
        ([["DET", "NOUN"], ["-LRB-", "O"]], "none"),
        ([["B-X", "DET"]], None),
        ([["DET", ""]], None),
        ([["B-X", "E-X"], ["B-X", "O"]], None),
    ],
)
def test_detect_does_not_guess_beyond_what_the_tags_tell(sequences, expected):
    assert tags.detect(sequences) == expected
