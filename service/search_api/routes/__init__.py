"""The routes of the published contract, one module a chapter."""
