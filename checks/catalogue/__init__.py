"""The 171 items of the deployment checklist as data: one TOML file a chapter, a loader that refuses typos."""

from checks.catalogue.loader import (
    PHASES,
    SCOPES,
    SEVERITIES,
    CatalogueError,
    CatalogueItem,
    load_catalogue,
)

__all__ = ["PHASES", "SCOPES", "SEVERITIES", "CatalogueError", "CatalogueItem", "load_catalogue"]
