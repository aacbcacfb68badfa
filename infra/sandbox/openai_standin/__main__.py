"""`python -m infra.sandbox.openai_standin --listen ADDRESS:PORT --tokens FILE`"""

import argparse
import json
import ssl
from pathlib import Path

from infra.sandbox.openai_standin.embedding import EMBEDDERS, Remembering
from infra.sandbox.openai_standin.server import StandIn, Tokens


def main() -> None:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser(prog="openai_standin", description=__doc__)
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    parser.add_argument(
        "--tokens", required=True, type=Path, help='JSON file: {"api_key": "...", "admin": "..."}'
    )
    parser.add_argument("--certificate", type=Path, help="PEM chain; with --key it speaks TLS")
    parser.add_argument("--key", type=Path)
    parser.add_argument("--embeddings", choices=sorted(EMBEDDERS), default="minilm")
    options = parser.parse_args()
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate, options.key)
    host, _, port = options.listen.rpartition(":")
    tokens = Tokens(**json.loads(options.tokens.read_text()))
    StandIn((host, int(port)), tokens, Remembering(EMBEDDERS[options.embeddings]()), tls).serve_forever()


if __name__ == "__main__":
    main()
