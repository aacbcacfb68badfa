"""Programs that run on the machine under check, with the release's own interpreter; sent over standard input."""
