"""A user's own databases."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import update

from search_api.authentication import Login
from search_api.clock import now
from search_api.connections import find_connection, list_connections, pool_key, target_of
from search_api.customer.connect import CannotConnectError, Target, server_version
from search_api.customer.pools import StatementFailedError, StatementTimeoutError
from search_api.customer.schema import Table
from search_api.envelope import Done, Envelope, ok
from search_api.errors import ApiError
from search_api.ids import new_id
from search_api.models import DatabaseConnection
from search_api.owned_connections import connections_changed
from search_api.routes.database_models import (
    ChangeBody,
    ColumnOut,
    CreateBody,
    DatabaseOut,
    IndexOut,
    TableOut,
    TriedOut,
)
from search_api.services import AppServices, Services
from search_api.vault import UnreadableCredentialError

router = APIRouter(prefix="/api/v1/databases", tags=["databases"])

_AT_ONCE = 8
SUGGESTION = "Check host, port, user name, password and the server's firewall."


@router.post("", status_code=201, response_model_exclude_none=True)
def create_database(
    request: Request, body: CreateBody, services: AppServices, caller: Login
) -> Envelope[DatabaseOut]:
    """Connect first, then keep the connection. 403 HOST_NOT_ALLOWED, 502 CONNECTION_ERROR."""
    _try(services, Target(body.host, body.port, body.database, body.username, body.password, body.ssl))
    moment = now()
    row_id = new_id()
    row = DatabaseConnection(
        id=row_id,
        user_id=caller.user.id,
        name=body.name,
        host=body.host,
        port=body.port,
        database=body.database,
        username=body.username,
        sealed_password=_seal(services, body.password, caller.user.id, row_id),
        ssl=body.ssl,
        is_active=True,
        last_connected=moment,
        created_at=moment,
        updated_at=moment,
    )
    with services.session() as session:
        session.add(row)
    connections_changed(services.cache, caller.user.id)
    return ok(request, _shown(row))


@router.get("", response_model_exclude_none=True)
def list_databases(request: Request, services: AppServices, caller: Login) -> Envelope[list[DatabaseOut]]:
    """The caller's connections, oldest first."""
    with services.session() as session:
        rows = list_connections(session, caller.user.id)
    return ok(request, [_shown(row) for row in rows])


@router.get("/status")
def read_status(request: Request, services: AppServices, caller: Login) -> Envelope[dict[str, bool]]:
    """Whether each of the caller's databases can be reached now."""
    with services.session() as session:
        rows = list_connections(session, caller.user.id)
    if not rows:
        return ok(request, {})
    with ThreadPoolExecutor(min(_AT_ONCE, len(rows)), thread_name_prefix="status") as executor:
        reached = list(executor.map(lambda row: _reach(services, row)[0], rows))
    return ok(request, {row.id: yes for row, yes in zip(rows, reached, strict=True)})


@router.get("/{connection_id}", response_model_exclude_none=True)
def read_database(
    request: Request, connection_id: str, services: AppServices, caller: Login
) -> Envelope[DatabaseOut]:
    """One of the caller's connections."""
    with services.session() as session:
        row = find_connection(session, caller.user.id, connection_id)
    return ok(request, _shown(row))


@router.put("/{connection_id}", response_model_exclude_none=True)
def change_database(
    request: Request, connection_id: str, body: ChangeBody, services: AppServices, caller: Login
) -> Envelope[DatabaseOut]:
    """Change the connection; when that changes where or how to connect, connect first."""
    changes = body.model_dump(exclude_unset=True, exclude_none=True)
    with services.session() as session:
        row = find_connection(session, caller.user.id, connection_id)
    if set(changes) - {"name"}:
        _try(services, _changed_target(services, row, changes))
    with services.session() as session:
        row = find_connection(session, caller.user.id, connection_id)
        for name in ("name", "host", "port", "database", "username", "ssl"):
            setattr(row, name, changes.get(name, getattr(row, name)))
        if "password" in changes:
            row.sealed_password = _seal(services, changes["password"], row.user_id, row.id)
        if set(changes) - {"name"}:
            row.last_connected = now()
        row.updated_at = now()
    connections_changed(services.cache, caller.user.id)
    return ok(request, _shown(row))


@router.delete("/{connection_id}")
def delete_database(
    request: Request, connection_id: str, services: AppServices, caller: Login
) -> Envelope[Done]:
    """The connection is gone, and so is the stored password."""
    with services.session() as session:
        row = find_connection(session, caller.user.id, connection_id)
        row.is_active = False
        row.sealed_password = None
        row.updated_at = now()
    connections_changed(services.cache, caller.user.id)
    return ok(request, Done())


@router.post("/{connection_id}/test", response_model_exclude_none=True)
def try_database(
    request: Request, connection_id: str, services: AppServices, caller: Login
) -> Envelope[TriedOut]:
    """``{connected, message}`` with 200 either way; ``responseTime`` is milliseconds."""
    with services.session() as session:
        row = find_connection(session, caller.user.id, connection_id)
    started = time.perf_counter()
    connected, message, version = _reach(services, row)
    milliseconds = round((time.perf_counter() - started) * 1000, 2)
    if not connected:
        return ok(
            request,
            TriedOut(connected=False, message=message, responseTime=milliseconds, suggestion=SUGGESTION),
        )
    with services.session() as session:
        session.execute(
            update(DatabaseConnection)
            .where(DatabaseConnection.id == row.id, DatabaseConnection.user_id == caller.user.id)
            .values(last_connected=now())
        )
    return ok(request, TriedOut(connected=True, message=message, responseTime=milliseconds, version=version))


@router.get("/{connection_id}/schema", response_model_exclude_none=True)
def read_database_schema(
    request: Request, connection_id: str, services: AppServices, caller: Login
) -> Envelope[list[TableOut]]:
    """Tables, their columns and FULLTEXT indexes. 502 CONNECTION_ERROR when the database cannot be reached."""
    with services.session() as session:
        row = find_connection(session, caller.user.id, connection_id)
    try:
        with services.pools.borrow(pool_key(row), target_of(row, services.vault)) as connection:
            tables = services.schemas.read(pool_key(row), connection, row.database)
    except StatementTimeoutError as error:
        raise ApiError(504, "CONNECTION_ERROR", f"The schema could not be read: {error}.") from None
    except (CannotConnectError, StatementFailedError, UnreadableCredentialError) as error:
        raise ApiError(502, "CONNECTION_ERROR", f"The schema could not be read: {error}.") from None
    return ok(request, [_shown_table(row.database, table) for table in tables])


def _try(services: Services, target: Target) -> None:
    try:
        services.connector.connect(target).close()
    except CannotConnectError as error:
        raise ApiError(502, "CONNECTION_ERROR", f"The database cannot be reached: {error}.") from None


def _reach(services: Services, row: DatabaseConnection) -> tuple[bool, str, str]:
    """Whether a fresh connection succeeds, a message, and the server's version."""
    try:
        connection = services.connector.connect(target_of(row, services.vault))
    except (CannotConnectError, UnreadableCredentialError) as error:
        return False, f"The database cannot be reached: {error}.", ""
    except ApiError as error:
        return False, error.message, ""
    version = server_version(connection)
    connection.close()
    return True, "Connected.", version


def _changed_target(services: Services, row: DatabaseConnection, changes: dict[str, Any]) -> Target:
    try:
        now_stored = target_of(row, services.vault) if "password" not in changes else None
    except UnreadableCredentialError as error:
        raise ApiError(
            502, "CONNECTION_ERROR", f"The stored password cannot be used: {error}; send it again."
        ) from None
    return Target(
        host=changes.get("host", row.host),
        port=changes.get("port", row.port),
        database=changes.get("database", row.database),
        username=changes.get("username", row.username),
        password=now_stored.password if now_stored else changes["password"],
        tls=changes.get("ssl", row.ssl),
    )


def _seal(services: Services, password: str | None, owner: str, row_id: str) -> str | None:
    return services.vault.encrypt(password, owner=owner, row=row_id) if password else None


def _shown(row: DatabaseConnection) -> DatabaseOut:
    return DatabaseOut(
        id=row.id,
        name=row.name,
        host=row.host,
        port=row.port,
        database=row.database,
        username=row.username,
        ssl=row.ssl,
        isActive=row.is_active,
        lastConnected=row.last_connected,
        createdAt=row.created_at,
        updatedAt=row.updated_at,
    )


def _shown_table(database: str, table: Table) -> TableOut:
    indexed = {name for index in table.indexes for name in index.columns}
    return TableOut(
        database=database,
        table=table.name,
        columns=[
            ColumnOut(
                name=column.name,
                type=column.type,
                isFullTextIndexed=column.name in indexed,
                isSearchable=column.is_text,
            )
            for column in table.columns
        ],
        fullTextIndexes=[
            IndexOut(name=index.name, columns=list(index.columns), cardinality=index.cardinality)
            for index in table.indexes
        ],
        estimatedRows=table.estimated_rows,
    )
