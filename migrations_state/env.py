"""Run the scripts: on migrator's own connection, or for a developer on that of alembic.ini."""

from __future__ import annotations

from logging.config import fileConfig
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from alembic import context
from alembic.util import CommandError

from migrator.store.database import open_engine, resolve_url, translated
from migrator.store.models import Moment, metadata
from migrator.store.schema import exclusive

if TYPE_CHECKING:
    from sqlalchemy import Connection


def render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write our column type as plain SQLAlchemy: a script must not change when the models do."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Moment) else False


def run(connection: Connection) -> None:
    """Run the scripts on one connection; batch mode, because SQLite cannot alter a column."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_for_developer() -> None:
    """Run the scripts on the store that alembic.ini names, with its logging."""
    if context.config.config_file_name is not None:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    url = context.config.get_main_option("sqlalchemy.url", "sqlite:///.migrator/state.db")
    engine = open_engine(resolve_url(url, Path.cwd()), create=True)
    with translated(engine), exclusive(engine) as connection:
        run(connection)
    engine.dispose()


if context.is_offline_mode():
    raise CommandError("the state store is upgraded online only")
embedded: Connection | None = context.config.attributes.get("connection")
if embedded is not None:
    run(embedded)
else:
    run_for_developer()
