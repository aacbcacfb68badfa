"""What requests about a user's databases hold, and what the answers do."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from search_api.clock import UtcTime

Name = Annotated[str, Field(min_length=1, max_length=255)]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._:\-]+$")]
Port = Annotated[int, Field(ge=1, le=65535)]
DatabaseName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00/\\]+$")]
UserName = Annotated[str, Field(min_length=1, max_length=128)]
Password = Annotated[str, Field(max_length=255)]


class CreateBody(BaseModel):
    """``ssl: true`` verifies the server's certificate."""

    name: Name
    host: Host
    port: Port = 3306
    database: DatabaseName
    username: UserName
    password: Password | None = None
    ssl: bool = False


class ChangeBody(BaseModel):
    """What is absent stays."""

    name: Name | None = None
    host: Host | None = None
    port: Port | None = None
    database: DatabaseName | None = None
    username: UserName | None = None
    password: Password | None = None
    ssl: bool | None = None


class DatabaseOut(BaseModel):
    """A connection as the API shows it; the password is never part of it."""

    id: str
    name: str
    host: str
    port: int
    database: str
    username: str
    ssl: bool
    isActive: bool
    lastConnected: UtcTime | None
    createdAt: UtcTime
    updatedAt: UtcTime


class TriedOut(BaseModel):
    """``responseTime`` is milliseconds; ``version`` is what the server calls itself, ``suggestion`` what may help."""

    connected: bool
    message: str
    responseTime: float
    version: str | None = None
    suggestion: str | None = None


class ColumnOut(BaseModel):
    """A column of a table."""

    name: str
    type: str
    isFullTextIndexed: bool
    isSearchable: bool


class IndexOut(BaseModel):
    """A FULLTEXT index; ``cardinality`` is absent where the server does not say it."""

    name: str
    columns: list[str]
    type: Literal["FULLTEXT"] = "FULLTEXT"
    cardinality: int | None = None


class TableOut(BaseModel):
    """A table of the user's database."""

    database: str
    table: str
    columns: list[ColumnOut]
    fullTextIndexes: list[IndexOut]
    estimatedRows: int
