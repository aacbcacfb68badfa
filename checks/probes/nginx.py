"""NGINX's effective configuration: `nginx -T` as a tree, with NGINX's own rules of inheritance."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from checks.gate import CouldNotLook, MachineUnderCheck

COMMAND = "nginx -T"
_FILE = re.compile(r"^# configuration file (?P<path>\S+):$")
_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<comment>\#[^\n]*)|(?P<mark>[{};])
    |(?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<word>(?:\\.|\$\{[^}]*\}|[^\s;{}\\])+)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Directive:
    """One directive: its name, its arguments without quotes, its block ([] for none) and its file."""

    name: str
    args: tuple[str, ...]
    block: tuple[Directive, ...] = ()
    file: str = ""

    def all(self, name: str) -> tuple[Directive, ...]:
        """Directives of that name directly inside."""
        return tuple(one for one in self.block if one.name == name)

    def first(self, name: str) -> Directive | None:
        """The first of that name directly inside, or None."""
        return next(iter(self.all(name)), None)

    def walk(self) -> Iterator[Directive]:
        """Everything inside, at any depth."""
        for one in self.block:
            yield one
            yield from one.walk()

    def __str__(self) -> str:
        return " ".join((self.name, *self.args))


@dataclass(frozen=True)
class Location:
    """A place where answers are made: a server, or a location with all blocks around it (outermost first)."""

    path: tuple[Directive, ...]

    @property
    def innermost(self) -> Directive:
        """The block itself."""
        return self.path[-1]

    def inherited(self, name: str) -> tuple[Directive, ...]:
        """What is in force here: NGINX takes those of the innermost block that has any of that name."""
        for block in reversed(self.path):
            found = block.all(name)
            if found:
                return found
        return ()

    def value(self, name: str, default: str = "") -> str:
        """Arguments in force, joined; `default` when nobody sets it."""
        found = self.inherited(name)
        return " ".join(found[-1].args) if found else default

    def __str__(self) -> str:
        return " > ".join(str(one) for one in self.path if one.name in ("server", "location", "if")) or "http"


@dataclass(frozen=True)
class Configuration:
    """The whole configuration, includes resolved as NGINX resolves them, and the files that it came from."""

    root: Directive
    files: tuple[str, ...] = field(default=())

    @property
    def http(self) -> Directive:
        """The http block. Raises CouldNotLook when there is none."""
        found = self.root.first("http")
        if found is None:
            raise CouldNotLook("nginx -T shows no http block")
        return found

    def servers(self, port: int | None = None, name: str | None = None) -> tuple[Directive, ...]:
        """Server blocks, of a listening port and a server name when given."""
        return tuple(
            one
            for one in self.http.all("server")
            if (port is None or port in ports(one)) and (name is None or name in names(one))
        )

    def upstream(self, name: str) -> Directive | None:
        """The upstream block of that name, or None."""
        return next((one for one in self.http.all("upstream") if one.args == (name,)), None)

    def locations(self, server: Directive) -> tuple[Location, ...]:
        """The server itself and every location in it, at any depth."""
        return tuple(_locations((self.root, self.http, server)))


def configuration(machine: MachineUnderCheck) -> Configuration:
    """What `nginx -T` shows. Raises CouldNotLook when NGINX is missing or refuses its own configuration."""
    answer = machine.run(COMMAND, sudo=True)
    if not answer.ok:
        said = answer.stderr.strip().splitlines()
        raise CouldNotLook(f"{machine.name}: nginx -T: {said[-2] if len(said) > 1 else said}")
    return parse(answer.stdout)


def parse(text: str) -> Configuration:
    """The output of `nginx -T`. Raises CouldNotLook when it is not balanced or holds no main file."""
    files = _files(text)
    if not files:
        raise CouldNotLook("nginx -T: no configuration file in its output")
    main = next(iter(files))
    blocks = {path: _block(_tokens(body), path) for path, body in files.items()}
    return Configuration(Directive("", (), _resolved(blocks[main], blocks, 0), main), tuple(files))


def ports(server: Directive) -> set[int]:
    """Ports that a server listens on (80 without a listen directive)."""
    found = set()
    for listen in server.all("listen"):
        if listen.args[0].startswith("unix:"):
            continue
        port = listen.args[0].rpartition(":")[2]
        found.add(int(port) if port.isdigit() else 80)
    return found if server.all("listen") else {80}


def names(server: Directive) -> set[str]:
    """Names that a server answers to."""
    return {name for one in server.all("server_name") for name in one.args}


def _files(text: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        header = _FILE.match(line)
        if header:
            current = found.setdefault(header["path"], [])
        elif current is not None:
            current.append(line)
    return {path: "\n".join(lines) for path, lines in found.items()}


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise CouldNotLook(f"nginx -T: cannot read {text[position : position + 40]!r}")
        position = match.end()
        kind = str(match.lastgroup)
        if kind in ("mark", "word"):
            yield kind, match[0]
        elif kind == "quoted":
            yield kind, re.sub(r"\\(.)", r"\1", match[0][1:-1])


def _block(tokens: Iterator[tuple[str, str]], file: str, *, inner: bool = False) -> tuple[Directive, ...]:
    found: list[Directive] = []
    words: list[str] = []
    for kind, word in tokens:
        if kind != "mark":
            words.append(word)
        elif word == "}":
            if words or not inner:
                raise CouldNotLook(f"nginx -T: {file} is not balanced near {' '.join(words)!r}")
            return tuple(found)
        else:
            block = _block(tokens, file, inner=True) if word == "{" else ()
            if words:
                found.append(Directive(words[0], tuple(words[1:]), block, file))
            words = []
    if words or inner:
        raise CouldNotLook(f"nginx -T: {file} ends in the middle of {' '.join(words)!r}")
    return tuple(found)


def _resolved(
    block: tuple[Directive, ...], files: dict[str, tuple[Directive, ...]], depth: int
) -> tuple[Directive, ...]:
    if depth > 10:
        raise CouldNotLook("nginx -T: includes go deeper than 10")
    found: list[Directive] = []
    for one in block:
        if one.name == "include" and one.args:
            for path, inside in files.items():
                if _included(one.args[0], path):
                    found.extend(_resolved(inside, files, depth + 1))
        else:
            found.append(Directive(one.name, one.args, _resolved(one.block, files, depth), one.file))
    return tuple(found)


def _included(pattern: str, path: str) -> bool:
    wanted = pattern if pattern.startswith("/") else f"/etc/nginx/{pattern}"
    translated = re.escape(wanted).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return re.fullmatch(translated, path) is not None


def _locations(path: tuple[Directive, ...]) -> Iterator[Location]:
    yield Location(path)
    for one in path[-1].block:
        if one.name in ("location", "if"):
            yield from _locations((*path, one))
