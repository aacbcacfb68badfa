"""The one place that names the version; a release build overwrites it."""

__version__ = "1.0.0"
