"""Does the API let in only whom it should, and take no text for code?"""
