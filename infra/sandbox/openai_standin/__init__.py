"""A stand-in for OpenAI: its API over HTTP, real embeddings from a small model, and faults that tests switch on."""
