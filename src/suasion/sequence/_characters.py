"""Characters of a text, the next of which is to be told; and text from a stack that has learned it.

Letters of the shapes: t steps, b batch, m characters to learn from, h held out, n generated.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from suasion.sequence._checks import check_shape
from suasion.sequence._generate import Sampling, sample
from suasion.sequence._layer import check_size
from suasion.sequence._stack import Stack, check_symbols
from suasion.sequence._tasks import Batch, Task, at_least, check_length
from suasion.sequence._text import Characters

LONGEST_TEXT = 2**26  # characters
_LARGEST_ALPHABET = 4096
_WINDOWS = 128  # that an evaluation reads at most


class Text(Task):
    """Windows of a text, in which every next character is asked for. The last tenth of the text is held out.

    Attributes:
        learned: the codes of the characters to learn from.
        held: the codes of those held out.
        alphabet: the characters of the text, and their codes.
        digest: SHA-256 of the text in UTF-8.
        window: characters that are read at once.
    """

    learned: Int[Array, " m"]
    held: Int[Array, " h"]
    alphabet: Characters = eqx.field(static=True)
    digest: str = eqx.field(static=True)
    window: int = eqx.field(static=True)

    @staticmethod
    def of(text: str, *, window: int = 128, name: str = "the text") -> Text:
        """A task from a text.

        Args:
            text: anything of two kinds of characters at least, whose last tenth is longer than a window.
            window: characters that are read at once.
            name: what messages call the text.

        Raises:
            ValueError: a text that is empty, of one kind of character or of more than 4,096, too short or above
                67,108,864 characters, or with a lone surrogate; a window below 1 or above 65,536.
        """
        at_least("window", window, 1)
        check_length(window)
        if not text:
            raise ValueError(f"{name} is empty: there is nothing to learn")
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"{name} has {len(text):,} characters: must be at most {LONGEST_TEXT:,}")
        alphabet = Characters.of(text)
        if alphabet.size == 1:
            raise ValueError(f"{name} has one kind of character only, {text[0]!r}: there is nothing to learn")
        if alphabet.size > _LARGEST_ALPHABET:
            raise ValueError(f"{name} has {alphabet.size:,} kinds of characters: must be at most {_LARGEST_ALPHABET:,}")
        held = len(text) // 10
        if held <= window:
            raise ValueError(
                f"{name} has {len(text):,} characters: its last tenth, which is held out, must be longer than a window "
                f"of {window:,}, which needs {10 * (window + 1):,}"
            )
        try:
            digest = hashlib.sha256(text.encode()).hexdigest()
        except UnicodeEncodeError as error:
            raise ValueError(f"{name}: character {error.start} is a lone surrogate") from error
        codes = alphabet.encode(text)
        return Text(
            learned=jnp.asarray(codes[:-held]),
            held=jnp.asarray(codes[-held:]),
            alphabet=alphabet,
            digest=digest,
            window=window,
        )

    @property
    def inputs(self) -> int:
        """Characters of the alphabet."""
        return self.alphabet.size

    @property
    def classes(self) -> int:
        """Characters of the alphabet."""
        return self.alphabet.size

    @property
    def length(self) -> int:
        """Steps."""
        return self.window

    def draw(self, key: Key[Array, ""], batch: int) -> Batch:
        """Windows at uniform places."""
        first = jax.random.randint(key, (batch,), 0, len(self.learned) - self.window)
        return _windows(self.learned, first, self.window)

    def held_out(self) -> Batch:
        """At most 128 windows, evenly spread, that have no character in common."""
        fitting = (len(self.held) - 1) // self.window
        number = np.linspace(0, fitting - 1, min(fitting, _WINDOWS)).astype(np.int32)
        return _windows(self.held, jnp.asarray(number) * self.window, self.window)

    def to_json(self) -> dict[str, Any]:
        """The window, and what tells the text from any other."""
        return {"name": "text", "window": self.window, "alphabet": self.alphabet.characters, "sha256": self.digest}


def write(
    key: Key[Array, ""],
    model: Stack,
    prompt: Int[Array, "t b"],
    length: int,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
) -> Int[Array, "n b"]:
    """Go on with a prompt: read it, then draw and read symbol after symbol.

    Args:
        key: of the random numbers.
        model: a stack whose classes are its symbols.
        prompt: at least one symbol.
        length: symbols to draw.
        sampling: how each is drawn.

    Returns:
        What was drawn, without the prompt.

    Raises:
        ValueError: an empty prompt, a symbol that there is not, a length below 1, more kept than there are symbols, or
            a stack with other classes than symbols.
    """
    check_size("length", length)
    check_shape("the head", model.outward, (model.inward.shape[1], len(model.inward)))
    sampling.check(len(model.inward))
    check_symbols(prompt, len(model.inward))
    return _write(length, sampling, key, model, prompt)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _write(length: int, sampling: Sampling, key: Any, model: Stack, prompt: Array) -> Array:
    memory, scores = model.scan(model.initial(prompt.shape[1]), prompt)

    def step(carry: Any, key: Any) -> tuple[Any, Array]:
        memory, scores = carry
        drawn = sample(key, scores, sampling)
        return model.step(memory, drawn), drawn

    return jax.lax.scan(step, (memory, scores[-1]), jax.random.split(key, length))[1]


def _windows(codes: Int[Array, " _"], first: Int[Array, " b"], window: int) -> Batch:
    """The characters from each first one on, and after each of them the next."""
    place = first[None] + jnp.arange(window + 1)[:, None]
    read = codes[place]
    return Batch(read[:-1], read[1:], jnp.ones((window, len(first)), bool))
