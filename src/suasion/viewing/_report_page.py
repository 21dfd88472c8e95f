"""One HTML file that needs nothing else: a strict content-security policy, text that stays text, no request.

What is code or style of ours is named in the policy by its SHA-256; whatever else a record may smuggle in, a browser
does not run. Data lie in JSON blocks, in which every `<` is written as an escape.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from suasion.records import refuse, write_whole
from suasion.viewing._layout import shown

_LONGEST_TEXT = 400  # characters of a name of unknown origin


def text(value: object) -> str:
    """A text of unknown origin on one line, as HTML: markup, control and direction marks do nothing."""
    line = shown(str(value))
    return html.escape(line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…")


def document(
    title: str, body: str, *, style: str, scripts: Sequence[str], blocks: Mapping[str, Any], asks: bool = False
) -> str:
    """A whole document.

    Args:
        title: plain text.
        body: HTML; whatever in it is of unknown origin has gone through `text`.
        style: name of a file in `page/`.
        scripts: likewise; they run when the body is there, in this order.
        blocks: JSON values by the id of their element, for the scripts.
        asks: its scripts may make requests, of the server alone that the page came from.
    """
    look, programs = asset(style), [asset(name) for name in scripts]
    rules = (
        "default-src 'none'",
        f"script-src {_digests(programs)}",
        f"style-src {_digests([look])}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        *(("connect-src 'self'",) if asks else ()),
    )
    pieces = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(rules)}">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n',
        f'<link rel="icon" href="data:,">\n<title>{text(title)}</title>\n<style>{look}</style>\n',
        f"</head>\n<body>\n{body}\n",
        *(f'<script type="application/json" id="{name}">{block(value)}</script>\n' for name, value in blocks.items()),
        *(f"<script>{program}</script>\n" for program in programs),
        "</body>\n</html>\n",
    )
    return "".join(pieces)


def block(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    encoded = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return encoded.replace("<", "\\u003c").encode("utf-8", "replace").decode()


def asset(name: str) -> str:
    """A file of `page/`, packed with the package; its line ends as in the repository, lest its digest change."""
    return (files("suasion.viewing") / "page" / name).read_text("utf-8").replace("\r\n", "\n")


def write_document(path: str | Path, content: str, *, force: bool) -> Path:
    """Write a page, whole or not at all; its folder is made.

    Raises:
        RecordError: see `records.refuse`.
        OSError: the disk refused.
    """
    refuse(path, force=force)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [content.encode()])
    return path


def _digests(contents: Sequence[str]) -> str:
    quoted = [base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents]
    return " ".join(f"'sha256-{digest}'" for digest in quoted) or "'none'"
