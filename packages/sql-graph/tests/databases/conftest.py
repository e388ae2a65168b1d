"""Databases for the tests: a SQLite and a DuckDB file, and servers of our own that run only as long as the tests.

A server runs in a temporary folder, on a free port of 127.0.0.1, as a user without rights (database servers refuse
to run as root), and is stopped by its process id. Where its programs are not installed its tests are skipped;
`scripts/install_db_servers.sh` installs them on Debian.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sql_graph import DatabaseLimits

PASSWORD = "s3cret-pa55"
DEADLINE_S = 0.5
START_S = 60.0
LIMITS = DatabaseLimits(deadline_s=DEADLINE_S)


@pytest.fixture(scope="session")
def limits() -> DatabaseLimits:
    """Limits with a short deadline, so that a list of endless queries ends soon."""
    return LIMITS


@pytest.fixture
def singers(tmp_path: Path) -> Path:
    """A SQLite file with a table of three singers, one of ten thousand numbers, and nothing beside it."""
    path = tmp_path / "music" / "music.sqlite"
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER);
            INSERT INTO singer VALUES (1, 'Ann', 30), (2, 'Bob', 41), (3, 'Eve', NULL);
            CREATE TABLE n (i INTEGER);
            WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 10000)
                INSERT INTO n SELECT i FROM r;
            """
        )
    connection.close()
    return path


@pytest.fixture(scope="session")
def shop_duckdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DuckDB file with people who have orders."""
    duckdb = pytest.importorskip("duckdb", reason="the DuckDB extra is not installed")
    path = tmp_path_factory.mktemp("duck") / "shop.duckdb"
    connection = duckdb.connect(str(path))
    for statement in (
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR, seen TIMESTAMPTZ)",
        "INSERT INTO people VALUES (1, 'Ann', '2024-01-02 03:04:05+00'), (2, 'Bob', NULL)",
        'CREATE TABLE "Order" (people_id INTEGER REFERENCES people (id), "unit price" DECIMAL(9, 2))',
        "CREATE VIEW named AS SELECT name FROM people",
        "CREATE SEQUENCE counter",
        "COMMENT ON TABLE people IS 'everybody we know'",
        "COMMENT ON COLUMN people.seen IS 'last visit'",
        "CREATE SCHEMA archive",
        "CREATE TABLE archive.people (name VARCHAR)",
    ):
        connection.execute(statement)
    connection.close()
    return path


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server: its URL as an administrator and as an ordinary user who may write, and a way to look inside."""

    admin_url: str
    user_url: str
    state: Callable[[], Any]
    """All that a hostile query might change, as plain values that can be compared."""


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server with the database `shop`."""
    psycopg = pytest.importorskip("psycopg", reason="the PostgreSQL extra is not installed")
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed; scripts/install_db_servers.sh installs it")
    with _folder("postgres") as (folder, user):
        data, port = folder / "data", _free_port()
        init = [programs / "initdb", "-D", data, "-A", "trust", "-U", "admin", "-E", "UTF8", "--no-sync"]
        subprocess.run(init, check=True, capture_output=True, cwd=folder, **user)
        serve = [programs / "postgres", "-D", data, "-p", str(port), "-k", folder]
        serve += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        url = f"postgresql://{{}}:{PASSWORD}@127.0.0.1:{port}/{{}}"

        def connect(name: str = "shop") -> Any:
            return psycopg.connect(url.format("admin", name), autocommit=True)

        with _running(serve, folder, user, stop=signal.SIGINT, ready=lambda: connect("postgres").close()):
            with connect("postgres") as connection:
                connection.execute("CREATE DATABASE shop")
                connection.execute("CREATE ROLE clerk LOGIN")
            with connect() as connection:
                for statement in POSTGRESQL_SHOP.split(";;"):
                    connection.execute(statement)

            def state() -> Any:
                with connect() as connection:
                    return {query: connection.execute(query).fetchall() for query in POSTGRESQL_STATE}, _attack_files()

            yield Server(admin_url=url.format("admin", "shop"), user_url=url.format("clerk", "shop"), state=state)


POSTGRESQL_SHOP = """
CREATE TYPE mood AS ENUM ('calm', 'angry');;
CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL, mood mood, born date, "Pay" numeric(9, 2), ok boolean,
    photo bytea, doc json);;
COMMENT ON TABLE people IS 'everybody we know';;
COMMENT ON COLUMN people."Pay" IS 'monthly, EUR';;
INSERT INTO people (name, mood, born, "Pay", ok, photo) VALUES ('Ann', 'calm', '0044-03-15 BC', 12.5, true, '\\x0102'),
    ('Bob', 'angry', 'infinity', NULL, false, NULL);;
CREATE SCHEMA sales;;
CREATE TABLE sales."Order Lines" (people_id int REFERENCES people (id), "select" text,
    PRIMARY KEY (people_id, "select"));;
CREATE TABLE n (i int);;
INSERT INTO n SELECT generate_series(1, 2000);;
CREATE VIEW named AS SELECT name FROM people;;
CREATE SEQUENCE counter;;
CREATE PROCEDURE wipe() LANGUAGE sql AS 'DELETE FROM people';;
CREATE FUNCTION wipe_returning() RETURNS int LANGUAGE sql AS 'DELETE FROM people RETURNING 1';;
GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk;;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO clerk;;
GRANT ALL ON SCHEMA public TO clerk;;
GRANT ALL ON SCHEMA sales TO clerk;;
GRANT ALL ON ALL TABLES IN SCHEMA sales TO clerk
"""
POSTGRESQL_STATE = (
    "SELECT people::text FROM people ORDER BY id",
    'SELECT * FROM sales."Order Lines"',
    "SELECT count(*), sum(i) FROM n",
    "SELECT last_value, is_called FROM counter",
    "SELECT relname, relacl::text FROM pg_class"
    " WHERE relnamespace::regnamespace::text IN ('public', 'sales') ORDER BY 1",
    "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT datname FROM pg_database ORDER BY 1",
    "SELECT count(*) FROM pg_largeobject_metadata",
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    "SELECT count(*) FROM pg_replication_slots",
    "SELECT name, setting FROM pg_settings WHERE source NOT IN ('session', 'client') ORDER BY 1",
)


@pytest.fixture(scope="session")
def mysql() -> Iterator[Server]:
    """A MariaDB or MySQL server with the database `shop`; both users have all rights in it."""
    pymysql = pytest.importorskip("pymysql", reason="the MySQL extra is not installed")
    program = _program("mariadbd", "mysqld")
    install = _program("mariadb-install-db", "mysql_install_db")
    if program is None:
        pytest.skip("no MySQL or MariaDB server is installed; scripts/install_db_servers.sh installs one")
    with _folder("mysql") as (folder, user):
        data, port = folder / "data", _free_port()
        init = [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
        if install is None:
            init = [program, "--no-defaults", f"--datadir={data}", "--initialize-insecure"]
        subprocess.run(init, check=True, capture_output=True, cwd=folder, **user)
        serve = [program, "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1"]
        serve += [f"--socket={folder / 's.sock'}", f"--pid-file={folder / 'pid'}", "--skip-log-bin"]
        url = f"mysql://{{}}:{PASSWORD}@127.0.0.1:{port}/shop"

        def connect() -> Any:
            return pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True)

        with _running(serve, folder, user, stop=signal.SIGTERM, ready=lambda: connect().close()):
            with connect() as connection, connection.cursor() as cursor:
                for statement in MYSQL_SHOP.format(password=PASSWORD).split(";;"):
                    cursor.execute(statement)

            def state() -> Any:
                with connect() as connection, connection.cursor() as cursor:
                    found = {}
                    for query in MYSQL_STATE:
                        cursor.execute(query)
                        found[query] = cursor.fetchall()
                    return found, _attack_files()

            yield Server(admin_url=url.format("boss"), user_url=url.format("clerk"), state=state)


MYSQL_SHOP = """
CREATE DATABASE shop;;
CREATE USER boss@'%' IDENTIFIED BY '{password}';;
CREATE USER boss@localhost IDENTIFIED BY '{password}';;
CREATE USER clerk@'%' IDENTIFIED BY '{password}';;
CREATE USER clerk@localhost IDENTIFIED BY '{password}';;
GRANT ALL ON *.* TO boss@'%', boss@localhost WITH GRANT OPTION;;
GRANT ALL ON shop.* TO clerk@'%', clerk@localhost;;
USE shop;;
CREATE TABLE people (id int AUTO_INCREMENT PRIMARY KEY, name varchar(40) NOT NULL COMMENT 'first name', born date)
    COMMENT 'everybody we know';;
INSERT INTO people (name, born) VALUES ('Ann', '2000-03-15'), ('Bob', NULL);;
CREATE TABLE `order lines` (people_id int, `select` enum('small', 'large'), photo blob, price decimal(9, 2),
    FOREIGN KEY (people_id) REFERENCES people (id));;
INSERT INTO `order lines` VALUES (1, 'small', x'0102', 12.50);;
CREATE TABLE oldstyle (i int) ENGINE = MyISAM;;
INSERT INTO oldstyle VALUES (1);;
CREATE TABLE n (i int);;
INSERT INTO n WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 900) SELECT i FROM r;;
CREATE VIEW named AS SELECT name FROM people;;
CREATE PROCEDURE wipe() DELETE FROM people;;
SET GLOBAL log_bin_trust_function_creators = 1;;
CREATE FUNCTION wipe_returning() RETURNS int MODIFIES SQL DATA BEGIN DELETE FROM people; RETURN 1; END
"""
MYSQL_STATE = (
    "SELECT * FROM shop.people ORDER BY id",
    "SELECT * FROM shop.`order lines`",
    "SELECT * FROM shop.oldstyle",
    "SELECT count(*), sum(i) FROM shop.n",
    "SELECT table_schema, table_name, column_name FROM information_schema.columns"
    " WHERE table_schema NOT IN ('information_schema', 'performance_schema', 'sys', 'mysql') ORDER BY 1, 2, 3",
    "SHOW DATABASES",
    "SHOW GLOBAL VARIABLES LIKE 'max_connections'",
    "SHOW GRANTS FOR clerk@localhost",
)


def _attack_files() -> list[str]:
    return sorted(path.name for path in Path("/tmp").glob("sql_graph_attack*"))


def _postgresql_programs() -> Path | None:
    """The folder of `postgres` and `initdb`, the newest where there are several."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if folders:
        return max(folders, key=lambda folder: int(folder.parent.name))
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None


def _program(*names: str) -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


@contextmanager
def _folder(preferred_user: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder for a server's files, with the arguments that start a process as the user who owns it."""
    folder = Path(tempfile.mkdtemp(prefix="sql-graph-"))
    user: dict[str, Any] = {}
    try:
        if os.geteuid() == 0:
            account = _account(preferred_user, "nobody")
            os.chown(folder, account.pw_uid, account.pw_gid)
            user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account(*names: str) -> pwd.struct_passwd:
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip(f"a database server does not run as root, and there is no user named {' or '.join(names)}")


@contextmanager
def _running(
    command: list[Any], folder: Path, user: dict[str, Any], *, stop: signal.Signals, ready: Callable[[], Any]
) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **user)
    try:
        ends_at = time.monotonic() + START_S
        while True:
            try:
                ready()
                break
            except Exception as error:
                if process.poll() is not None or time.monotonic() > ends_at:
                    raise RuntimeError(f"{command[0]} did not start: {(folder / 'log').read_text()[-2000:]}") from error
                time.sleep(0.1)
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
