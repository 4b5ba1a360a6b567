"""``rediss://``: only a server whose certificate a named authority vouches for, for the very name that was asked for, within its time."""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
import trustme
from redis.asyncio import Redis

from hotbandd.adapters.store.opening import open_valkey
from hotbandd.errors import RefusedError, SettingsError, StoreUnreachableError
from hotbandd.settings import load
from tests.adapters import store_samples as samples
from tests.adapters.store_samples import AGES, PAIR
from tests.processes import COMMAND, bare_environment
from tests.tls_valkey import Authority, authority, behind, server_side, url
from tests.valkey import PASSWORD, Guarded

PAST = datetime(2021, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authorities"), "trusted")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authorities"), "other")


@pytest.fixture
def socket(valkey: Guarded, raw: Redis, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(
        logging.getLogger("asyncio"), "disabled", True
    )  # a server's word on handshakes that clients refuse
    return valkey.url.rpartition("@")[2]


async def refusal(address: str) -> str:
    """Return why a store at a URL, and a subscription there, is refused."""
    async with open_valkey(address, AGES) as store:
        with pytest.raises(StoreUnreachableError) as caught:
            await store.ping()
        with pytest.raises(StoreUnreachableError) as again:
            async with store.subscribe(["ws:gates"]):
                pass
    said = str(caught.value)
    assert str(again.value) == said
    assert PASSWORD not in said
    return said.partition("is not trusted: ")[2]


async def test_a_server_of_the_named_authority_serves(socket: str, trusted: Authority) -> None:
    async with (
        behind(socket, server_side(trusted)) as port,
        open_valkey(url(port, f"?ssl_ca_certs={trusted.file}"), AGES) as store,
    ):
        async with store.subscribe(["ws:gates"]) as messages:
            lease = await store.acquire_lease("me", 10_000)
            assert lease is not None
            await store.publish_evaluation(lease, samples.evaluation(epoch=lease.epoch))
            with anyio.fail_after(10):
                assert (await anext(messages))[0] == "ws:gates"
        assert await store.gates_blob() == samples.blob(epoch=lease.epoch)
        assert await store.manifold(PAIR) is None


async def test_an_address_is_as_good_as_a_name_where_the_certificate_says_so(socket: str, trusted: Authority) -> None:
    async with behind(socket, server_side(trusted, "127.0.0.1")) as port:
        async with open_valkey(url(port, f"?ssl_ca_certs={trusted.file}", "127.0.0.1"), AGES) as store:
            await store.ping()
        assert "another server's" in await refusal(url(port, f"?ssl_ca_certs={trusted.file}", "localhost"))


async def test_the_certificate_of_another_authority_is_refused(
    socket: str, trusted: Authority, other: Authority
) -> None:
    async with behind(socket, server_side(trusted)) as port:
        for query in ("", f"?ssl_ca_certs={other.file}"):
            said = await refusal(url(port, query))
            assert said.startswith("nobody trusted vouches for its certificate (")
            assert said.endswith("); name its CA's file: ?ssl_ca_certs=FILE in VALKEY_URL.")


async def test_the_certificate_of_another_name_is_refused(socket: str, trusted: Authority) -> None:
    async with behind(socket, server_side(trusted, "valkey.example")) as port:
        said = await refusal(url(port, f"?ssl_ca_certs={trusted.file}"))
    assert said.startswith("its certificate is another server's (")
    assert said.endswith("use the name in VALKEY_URL that it was issued for.")


async def test_an_expired_certificate_is_refused(socket: str, trusted: Authority) -> None:
    async with behind(socket, server_side(trusted, until=PAST)) as port:
        said = await refusal(url(port, f"?ssl_ca_certs={trusted.file}"))
    assert said == "its certificate is out of date (certificate has expired); renew it, or set this machine's clock."


async def test_a_server_that_wants_a_certificate_gets_ours(socket: str, trusted: Authority, tmp_path: Path) -> None:
    context = server_side(trusted)
    context.verify_mode = ssl.CERT_REQUIRED
    trusted.ca.configure_trust(context)
    mine = trusted.ca.issue_cert("hotband.example")
    certificate, key = tmp_path / "mine.pem", tmp_path / "mine.key"
    mine.cert_chain_pems[0].write_to_path(str(certificate))
    mine.private_key_pem.write_to_path(str(key))
    async with behind(socket, context) as port:
        both = f"?ssl_ca_certs={trusted.file}&ssl_certfile={certificate}&ssl_keyfile={key}"
        async with open_valkey(url(port, both), AGES) as store:
            await store.ping()
        async with open_valkey(url(port, f"?ssl_ca_certs={trusted.file}"), AGES) as store:
            with pytest.raises(StoreUnreachableError):
                await store.ping()


async def test_a_server_without_tls_is_refused(socket: str, trusted: Authority) -> None:
    async with behind(socket, None) as port, open_valkey(url(port, f"?ssl_ca_certs={trusted.file}"), AGES) as store:
        with pytest.raises(StoreUnreachableError) as caught:
            await store.ping()
    assert str(caught.value).startswith(f"Valkey at localhost:{port} (TLS) ")
    assert "TLS there" in str(caught.value) or "TLS on there" in str(caught.value)


async def test_a_wrong_password_is_told_as_such_through_tls(socket: str, trusted: Authority) -> None:
    async with behind(socket, server_side(trusted)) as port:
        wrong = url(port, f"?ssl_ca_certs={trusted.file}").replace(PASSWORD, "hush-hush")
        async with open_valkey(wrong, AGES) as store:
            with pytest.raises(RefusedError, match="user and password in VALKEY_URL") as caught:
                await store.ping()
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize(
    "text", [None, "", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", "\0" * 100]
)
@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile"])
async def test_a_file_of_certificates_that_is_none_stops_the_start(tmp_path: Path, name: str, text: str | None) -> None:
    file = tmp_path / "file.pem"
    if text is not None:
        file.write_text(text)
    query = f"?{name}={file}" + (f"&ssl_keyfile={file}" if name == "ssl_certfile" else "")
    with pytest.raises(
        SettingsError, match=f"^VALKEY_URL: the file of its {name} cannot be used \\(.*\\); name another one\\.$"
    ):
        async with open_valkey(url(1, query), AGES):
            pass


async def test_a_key_under_a_pass_phrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    issued = trustme.CA().issue_cert("hotband.example")
    plain = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = serialization.BestAvailableEncryption(b"pass-phrase")
    key, certificate = tmp_path / "mine.key", tmp_path / "mine.pem"
    form = serialization.PrivateFormat.TraditionalOpenSSL
    key.write_bytes(plain.private_bytes(serialization.Encoding.PEM, form, locked))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    with pytest.raises(SettingsError, match="ssl_certfile cannot be used"):
        async with open_valkey(url(1, f"?ssl_certfile={certificate}&ssl_keyfile={key}"), AGES):
            pass


@pytest.mark.parametrize(
    "query",
    [
        "?ssl_cert_reqs=none",
        "?ssl_check_hostname=false",
        "?ssl_min_version=1",
        "?ssl_ciphers=NULL",
        "?socket_timeout=1e9",
        "?protocol=3",
        "?max_connections=1",
        "?nonsense=1",
    ],
)
def test_no_url_turns_the_checks_or_the_deadlines_off(query: str) -> None:
    with pytest.raises(
        SettingsError, match=r"VALKEY_URL .*behind its \? it may hold .*ssl_ca_certs.* and nothing else"
    ):
        load({"VALKEY_URL": url(6379, query)}, None)


async def test_a_command_says_in_one_sentence_what_is_wrong_with_the_certificate(
    socket: str, trusted: Authority, tmp_path: Path
) -> None:
    async with behind(socket, server_side(trusted)) as port:
        for query, code, word in (
            (f"?ssl_ca_certs={trusted.file}", 0, "engaged"),
            ("", 3, "is not trusted: nobody trusted vouches"),
        ):
            environment = bare_environment(tmp_path, {"VALKEY_URL": url(port, query)})
            ended = await anyio.run_process([*COMMAND, "kill", "status"], env=environment, check=False)
            assert ended.returncode == code
            assert word in (ended.stdout + ended.stderr).decode()
            assert len(ended.stderr.decode().splitlines()) == (code > 0)
            assert PASSWORD.encode() not in ended.stdout + ended.stderr
