"""Take lines of pg_hba.conf apart as the server does, and spell their tokens (next_token in hba.c)."""

from __future__ import annotations

from dataclasses import dataclass

BLANKS = " \t\r"
# What ends a token, or begins a comment or a quoted part.
SPECIAL = frozenset(f'{BLANKS}\n,#"')
KEYWORDS = ("all", "sameuser", "samerole", "samegroup", "replication")


@dataclass(frozen=True)
class Token:
    """A part of a line. One in quotes is no keyword and no group, whatever it says."""

    text: str
    quoted: bool = False


def fields(line: str) -> list[list[Token]]:
    """Return the fields of a line, each a list; a comment ends the line."""
    found: list[list[Token]] = []
    position = 0
    while True:
        while position < len(line) and line[position] in BLANKS:
            position += 1
        if position == len(line) or line[position] == "#":
            return found
        tokens: list[Token] = []
        more = True
        while more:
            token, position, more = _next_token(line, position)
            if token.text or token.quoted:
                tokens.append(token)
        found.append(tokens)


def _next_token(line: str, position: int) -> tuple[Token, int, bool]:
    """Return a token, where it ends, and whether a comma leads to another one of its list."""
    while position < len(line) and line[position] in f"{BLANKS},":
        position += 1
    text: list[str] = []
    inside = doubled = quoted = False
    while position < len(line) and (inside or line[position] not in BLANKS):
        character = line[position]
        if character == "#" and not inside:
            return Token("".join(text), quoted), len(line), False
        position += 1
        if character == "," and not inside:
            return Token("".join(text), quoted), position, True
        if character != '"' or doubled:
            text.append(character)
        # Two quotes within quotes are one; the second one ends and begins.
        doubled = inside and character == '"' and not doubled
        if character == '"':
            inside = not inside
            quoted = quoted or not text
    return Token("".join(text), quoted), position, False


def spelled(token: Token) -> str:
    """Return a token as pg_hba.conf takes it, in quotes only where it must be.

    A plus before the quotes keeps its meaning, and a slash does within them.
    """
    text = token.text
    if token.quoted and (text in KEYWORDS or text.startswith("+")):
        return in_quotes(text)
    if text.startswith("+") and len(text) > 1:
        return f"+{plain_or_in_quotes(text[1:])}"
    return in_quotes(text) if text.startswith("@") else plain_or_in_quotes(text)


def plain_or_in_quotes(text: str) -> str:
    """Return a text, in quotes where the server would divide it."""
    return in_quotes(text) if not text or SPECIAL & set(text) else text


def in_quotes(text: str) -> str:
    """Return a text in quotes, those in it doubled."""
    return '"' + text.replace('"', '""') + '"'


def line_at(lines: list[str], number: int) -> str:
    """Return the line of that number, from 1, with those that continue it after a backslash at its end."""
    whole = ""
    for line in lines[number - 1 :]:
        whole += line
        if not whole.endswith("\\"):
            break
        whole = whole[:-1]
    return whole
