"""Keeps secrets out of records: known secret values are blotted out of whatever a child process printed."""

from pathlib import Path

SHORTEST = 8  # shorter values would blot out ordinary words


class Redaction:
    """Knows the secret values below a directory (one file a secret, whole content or line by line)."""

    def __init__(self, secrets: Path) -> None:
        self._secrets = secrets

    def cleaned(self, text: str) -> str:
        """The text with every known secret replaced by its name in brackets."""
        for value, name in self._known():
            text = text.replace(value, f"[{name}]")
        return text

    def cleaned_within(self, value: object) -> object:
        """A JSON document with every text in it cleaned; cleaning its written form could break that."""
        if isinstance(value, dict):
            return {key: self.cleaned_within(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.cleaned_within(one) for one in value]
        return self.cleaned(value) if isinstance(value, str) else value

    def clean(self, log: Path) -> None:
        """Clean a log in place; a log without secrets is left as it is."""
        if not log.is_file():
            return
        text = log.read_text(encoding="utf-8", errors="replace")
        cleaned = self.cleaned(text)
        if cleaned != text:
            log.write_text(cleaned, encoding="utf-8")

    def _known(self) -> list[tuple[str, str]]:
        """Longest first, so that a secret inside another does not leave the rest of it readable. Read each time:
        the first deploy generates them."""
        files = (
            [path for path in self._secrets.rglob("*") if path.is_file()] if self._secrets.is_dir() else []
        )
        found = set()
        for path in files:
            whole = path.read_text(encoding="utf-8", errors="replace")
            found |= {(value.strip(), path.name) for value in (whole, *whole.splitlines())}
        found = {pair for pair in found if len(pair[0]) >= SHORTEST}
        return sorted(found, key=lambda pair: -len(pair[0]))
