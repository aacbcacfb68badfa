"""The AI: OpenAI's API, or one like it. Its absence, slowness or nonsense never fails a search."""
