"""What a worker holds for its whole life: settings, pools, keys. Built once, handed to the routes."""

from contextlib import AbstractContextManager
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from search_api.ai.assistant import Ai
from search_api.cache import Cache
from search_api.customer.connect import Connector
from search_api.customer.pools import CustomerPools
from search_api.customer.schema import SchemaCache
from search_api.database import open_engine, session_of
from search_api.limits.admission import Admissions
from search_api.limits.attempts import Attempts
from search_api.owned_connections import OwnedConnections
from search_api.parts import PartsWatch
from search_api.passwords import Passwords
from search_api.records import SearchRecords
from search_api.search.frequencies import Frequencies
from search_api.search.vocabulary import Vocabularies
from search_api.settings import Settings
from search_api.tokens import Tokens
from search_api.usage import UsageCounter
from search_api.vault import Vault


class Services:
    """Nothing here connects before it is used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = open_engine(settings)
        self.cache = Cache(settings)
        self.limiter = Attempts(settings, self.cache)
        self.admissions = Admissions(settings, self.cache)
        self.passwords = Passwords(settings)
        self.tokens = Tokens(settings)
        self.vault = Vault(settings.encryption_keys.get_secret_value())
        self.connector = Connector(settings)
        self.pools = CustomerPools(settings, self.connector)
        self.schemas = SchemaCache(settings.schema_cache_seconds)
        self.vocabularies = Vocabularies(settings, self.cache, self.pools, self.schemas, self.vault)
        self.frequencies = Frequencies(settings.word_count_cache_seconds)
        self.usage = UsageCounter(self.engine, settings.usage_flush_seconds)
        self.parts = PartsWatch()
        self.owned = OwnedConnections()
        self.records = SearchRecords(self.engine, settings.records_flush_seconds, self.cache.deliver_pending)
        self.ai = Ai(settings, self.cache, self.engine)
        self.draining = False

    def session(self) -> AbstractContextManager[Session]:
        """A short session on the service's own database."""
        return session_of(self.engine)

    def session_with_records(self) -> AbstractContextManager[Session]:
        """As ``session``; every search that this worker recorded before can be read in it.

        Those of other workers are there within ``records_flush_seconds``.
        """
        self.records.flush()
        return self.session()

    def close(self) -> None:
        """Write what was counted and recorded, and close every connection but those of ``admissions``."""
        self.usage.stop()
        self.records.stop()
        self.ai.close()
        self.pools.close()
        self.cache.close()
        self.engine.dispose()


async def services_of(request: Request) -> Services:
    """The services of the worker that answers this request."""
    return cast(Services, request.app.state.services)


AppServices = Annotated[Services, Depends(services_of)]
