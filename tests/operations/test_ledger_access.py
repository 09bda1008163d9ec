"""Reaching Postgres: what the URL says, what is refused, and what is never shown."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from cfcre.errors import ConfigurationError, LedgerUnavailable
from cfcre.operations.ledger import Ledger

pytestmark = pytest.mark.server


def test_wrong_access_is_a_configuration_error_that_shows_no_password(
    migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    right = make_url(migrated_url)
    for wrong, words in (
        (right.set(password="hunter2"), "password authentication failed"),
        (right.set(username="hunter"), "password authentication failed"),
        (right.set(password="hunter2", query={"sslmode": "surely"}), "sslmode"),
        (right.set(query={"sslmode": "verify-full"}), r"SSL|root certificate"),
        (right.set(query={"sslmode": "require"}), "SSL was required"),
    ):
        with pytest.raises(ConfigurationError, match=words) as error:
            Ledger(wrong.render_as_string(hide_password=False)).create()
        chain: BaseException | None = error.value
        while chain is not None:
            assert not any(secret in str(chain) for secret in ("hunter2", str(right.password)))
            chain = chain.__cause__
    with pytest.raises(LedgerUnavailable, match="does not exist"):  # it may be made just now
        Ledger(right.set(database="nowhere").render_as_string(hide_password=False)).create()
    with pytest.raises(LedgerUnavailable, match="refused"):
        Ledger(right.set(port=1).render_as_string(hide_password=False)).create()
    for name in ("postgresql+pg8000", "postgresql+asyncpg"):
        with pytest.raises(ConfigurationError, match="can not be reached by"):
            Ledger(right.set(drivername=name).render_as_string(hide_password=False))
    # The short name means the same driver.
    short = Ledger(right.set(drivername="postgresql").render_as_string(hide_password=False))
    short.create()
    short.close()
    assert "hunter2" not in caplog.text and str(right.password) not in caplog.text


def test_limits_of_the_url_win_and_none_stays_in_the_session(migrated_url: str) -> None:
    query = {"application_name": "of-the-url", "connect_timeout": "3"}
    ledger = Ledger(make_url(migrated_url).set(query=query).render_as_string(hide_password=False))
    with ledger._database.read() as connection:
        assert connection.execute(text("SHOW application_name")).scalar_one() == "of-the-url"
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.prepare_threshold is None  # poolers that know no prepared statements
        assert driver.info.get_parameters()["connect_timeout"] == "3"
        assert driver.info.get_parameters()["keepalives_idle"] == "30"
    # The next user of a pooled connection, behind a pooler another client, has its own limits.
    assert driver.execute("SHOW lock_timeout").fetchone() == ("0",)
    driver.rollback()
    ledger.close()


def test_the_second_host_of_the_url_is_used_where_the_first_is_gone(migrated_url: str) -> None:
    right = make_url(migrated_url)
    hosts = ("127.0.0.1:1", f"{right.host}:{right.port}")
    query = {"host": hosts, "target_session_attrs": "read-write"}
    several = right._replace(host=None, port=None).set(query=query)
    ledger = Ledger(several.render_as_string(hide_password=False))
    ledger.create()
    assert ledger.status() == {"streams": []}
    ledger.close()
