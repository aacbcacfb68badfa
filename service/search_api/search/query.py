"""What the user asked, as a tree. Stray operators are dropped, so that what is sent to MySQL is always well formed."""

import re
from dataclasses import dataclass

from search_api.errors import invalid

_DEEPEST = 8
_MOST_TERMS = 64
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(
    r"(?P<operators>[+\-~<>]*)"
    r'(?:"(?P<phrase>[^"]*)"|(?P<open>\()|(?P<word>[^\s()"+\-~<>*@][^\s()"*]*)(?P<star>\*?))'
    r"|(?P<close>\))|(?P<stray>.)",
    re.DOTALL,
)
# InnoDB's own list, and its shortest word: such words are not in the index.
_STOP_WORDS = frozenset(
    [
        "a",
        "about",
        "an",
        "are",
        "as",
        "at",
        "be",
        "by",
        "com",
        "de",
        "en",
        "for",
        "from",
        "how",
        "i",
        "in",
        "is",
        "it",
        "la",
        "of",
        "on",
        "or",
        "that",
        "the",
        "this",
        "to",
        "was",
        "what",
        "when",
        "where",
        "who",
        "will",
        "with",
        "und",
        "www",
    ]
)
_SHORTEST_INDEXED = 3


@dataclass(frozen=True)
class Term:
    """One word, or several that stand together. ``operator`` is one of + - ~ < > or empty."""

    operator: str
    words: tuple[str, ...]
    is_prefix: bool = False

    @property
    def is_indexed(self) -> bool:
        """Whether a FULLTEXT index knows such words."""
        return any(not_indexed_reason(word) is None for word in self.words)

    @property
    def text(self) -> str:
        """The term in MySQL's boolean syntax, in lower case and without its operator: equal for equal terms."""
        words = " ".join(self.words).lower()
        return f'"{words}"' if len(self.words) > 1 else f"{words}{'*' if self.is_prefix else ''}"


@dataclass(frozen=True)
class Group:
    """Terms in parentheses; the whole query is one too."""

    operator: str
    parts: tuple["Term | Group", ...]


Part = Term | Group


def not_indexed_reason(word: str) -> str | None:
    """Why a FULLTEXT index does not hold a word: ``stop_word`` or ``too_short``; None when it may hold it."""
    if word.lower() in _STOP_WORDS:
        return "stop_word"
    return "too_short" if len(word) < _SHORTEST_INDEXED else None


def words_in(text: str) -> list[str]:
    """The words of a text, in order, as the indexes cut it."""
    return _WORD.findall(text)


def parse_natural(query: str) -> Group:
    """Any of the words."""
    words = list(dict.fromkeys(_WORD.findall(query)))
    return Group("", tuple(Term("", (word,)) for word in words[:_MOST_TERMS]))


def parse_boolean(query: str) -> Group:
    """Operators, phrases, prefixes and parentheses as MySQL's boolean mode knows them.

    Raises 400 VALIDATION_ERROR when no word is left, or the query is nested too deeply or too long.
    """
    stack: list[tuple[str, list[Part]]] = [("", [])]
    terms = 0
    for match in _TOKEN.finditer(query):
        operator = (match["operators"] or "")[-1:]
        if match["open"]:
            stack.append((operator, []))
            if len(stack) > _DEEPEST:
                raise invalid("query", f"has parentheses more than {_DEEPEST - 1} deep", "too_deep")
        elif match["close"]:
            _close(stack)
        elif term := _term(operator, match["phrase"], match["word"], bool(match["star"])):
            stack[-1][1].append(term)
            terms += 1
    while len(stack) > 1:
        _close(stack)
    if not stack[0][1]:
        raise invalid("query", "holds no word to search for", "no_words")
    if terms > _MOST_TERMS:
        raise invalid("query", f"holds more than {_MOST_TERMS} words", "too_many_words")
    return Group("", tuple(stack[0][1]))


def boolean_text(part: Part) -> str:
    """The part in MySQL's boolean syntax."""
    if isinstance(part, Group):
        inside = " ".join(boolean_text(inner) for inner in part.parts)
        return f"{part.operator}({inside})"
    if len(part.words) > 1:
        return f'{part.operator}"{" ".join(part.words)}"'
    return f"{part.operator}{part.words[0]}{'*' if part.is_prefix else ''}"


def top_level_text(query: Group) -> str:
    """The whole query in MySQL's boolean syntax."""
    return " ".join(boolean_text(part) for part in query.parts)


def without_exclusions(query: Group) -> Group:
    """The query without its excluded parts: it finds at least all that the query finds."""
    kept: list[Part] = []
    for part in query.parts:
        if part.operator == "-":
            continue
        inner = without_exclusions(part) if isinstance(part, Group) else part
        if isinstance(inner, Term) or inner.parts:
            kept.append(inner)
    return Group(query.operator, tuple(kept))


def terms_of(query: Group) -> list[Term]:
    """All terms that are wanted, in order."""
    found: list[Term] = []
    for part in query.parts:
        if part.operator == "-":
            continue
        found.extend(terms_of(part) if isinstance(part, Group) else [part])
    return found


def _close(stack: list[tuple[str, list[Part]]]) -> None:
    if len(stack) == 1:
        return
    operator, parts = stack.pop()
    if parts:
        stack[-1][1].append(Group(operator, tuple(parts)))


def _term(operator: str, phrase: str | None, word: str | None, is_prefix: bool) -> Term | None:
    words = tuple(_WORD.findall(phrase or word or ""))
    if not words:
        return None
    return Term(operator, words, is_prefix and len(words) == 1)
