"""Text as numbers: characters, bytes, and the tokenizers that published models come with."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int32

from suasion.records import RecordError, read_bounded

_LONGEST = 64 * 2**20  # bytes of a tokenizer's file


class Tokenizer(Protocol):
    """Text to tokens and back."""

    @property
    def size(self) -> int:
        """Tokens are 0 ... size - 1."""

    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        """The tokens of a text."""

    def decode(self, tokens: Any) -> str:
        """The text of tokens [t]."""


@dataclass(frozen=True)
class Characters:
    """One token for each of a few characters.

    Attributes:
        characters: all of them, in Unicode's order, each once; its place is its token.
    """

    characters: str

    def __post_init__(self) -> None:
        if not self.characters or list(self.characters) != sorted(set(self.characters)):
            raise ValueError(f"characters are {self.characters[:40]!r}: must be some, in order, each once")

    @staticmethod
    def of(text: str) -> Characters:
        """The characters that a text has.

        Raises:
            ValueError: it has none.
        """
        return Characters("".join(sorted(set(text))))

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.characters)

    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        """The place of each character.

        Raises:
            ValueError: one that is not among them, with its place in the text.
        """
        known, found = _code_points(self.characters), _code_points(text)
        tokens = np.searchsorted(known, found)
        wrong = np.flatnonzero(known[np.minimum(tokens, len(known) - 1)] != found)
        if len(wrong):
            raise ValueError(f"text[{wrong[0]}] is {text[wrong[0]]!r}: not among the {self.size} characters")
        return tokens.astype(np.int32)

    def decode(self, tokens: Any) -> str:
        """The characters of tokens [t].

        Raises:
            ValueError: a token out of range.
        """
        return "".join(self.characters[token] for token in _checked(tokens, self.size).tolist())


@dataclass(frozen=True)
class Bytes:
    """The bytes of UTF-8 as tokens: any text, 256 tokens."""

    @property
    def size(self) -> int:
        """256."""
        return 256

    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        """The bytes of a text.

        Raises:
            ValueError: half of a surrogate pair, which has none.
        """
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    def decode(self, tokens: Any) -> str:
        """The text of tokens [t]; what is not UTF-8 becomes U+FFFD.

        Raises:
            ValueError: a token out of range.
        """
        return _checked(tokens, 256).astype(np.uint8).tobytes().decode(errors="replace")


@dataclass(frozen=True, eq=False)
class SubwordTokenizer:
    """A tokenizer of the library `tokenizers`, as `load_tokenizer` makes it.

    Attributes:
        inner: the library's object.
    """

    inner: Any

    @property
    def size(self) -> int:
        """Tokens with those added; a model's vocabulary may be larger, for alignment."""
        return self.inner.get_vocab_size()

    def encode(self, text: str) -> Int32[np.ndarray, " t"]:
        """The tokens of a text, with the special ones that its file asks for."""
        return np.asarray(self.inner.encode(text).ids, np.int32)

    def decode(self, tokens: Any) -> str:
        """The text of tokens [t], special ones included; a token that it does not know is left out.

        Raises:
            ValueError: a negative token.
        """
        return self.inner.decode(_checked(tokens, 2**31).tolist(), skip_special_tokens=False)


def load_tokenizer(folder: str | Path) -> SubwordTokenizer:
    """The tokenizer of a model's folder: its `tokenizer.json`.

    A limit of length that the file may hold is lifted, and so is filling up: nothing is cut in silence.

    Raises:
        ImportError: the library `tokenizers` is not installed.
        RecordError: the file is missing, longer than 64 MiB, or the library refuses it.
    """
    try:
        tokenizers = importlib.import_module("tokenizers")
    except ImportError as error:
        raise ImportError("load_tokenizer needs the library tokenizers: install suasion[text]") from error
    path = Path(folder) / "tokenizer.json"
    content = bytes(read_bounded(path, _LONGEST))
    try:
        inner = tokenizers.Tokenizer.from_buffer(content)
    except BaseException as error:
        # What breaks inside Rust arrives as a PanicException, which is no Exception.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise RecordError(f"{path}: no tokenizer: {str(error)[:200]}") from error
        raise
    inner.no_truncation()
    inner.no_padding()
    return SubwordTokenizer(inner)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), "<u4")


def _checked(tokens: Any, size: int) -> np.ndarray:
    array = np.asarray(tokens)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"tokens are {array.dtype} of shape {array.shape}: must be integers [t]")
    wrong = np.flatnonzero((array < 0) | (array >= size))
    if len(wrong):
        raise ValueError(f"tokens[{wrong[0]}] is {array[wrong[0]]}: must be at least 0 and below {size}")
    return array
