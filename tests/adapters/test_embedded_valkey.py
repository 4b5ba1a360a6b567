"""The embedded server, as real processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from redis.asyncio import Redis

from hotbandd.adapters import embedded_valkey
from hotbandd.adapters.embedded_folder import SOCKET_BYTES, Folder
from hotbandd.adapters.embedded_valkey import embedded, running
from hotbandd.errors import StoreUnreachableError
from tests.valkey import eventually, launched, owner


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


async def server_id(url: str) -> int:
    async with Redis.from_url(url, protocol=2) as client:
        return int((await client.info("server"))["process_id"])


def alive(process: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def mode(path: Path | str) -> int:
    return stat.S_IMODE(Path(str(path).removeprefix("unix://")).stat().st_mode)


def environment(process: int) -> bytes:
    return Path(f"/proc/{process}/environ").read_bytes()


def program(process: int) -> Path:
    return Path(f"/proc/{process}/exe").resolve()


async def ended(process: int) -> bool:
    return not alive(process)


async def test_a_server_answers_while_it_is_wanted_and_is_gone_afterwards(home: Path) -> None:
    assert await running(home) is None
    async with embedded(home) as url:
        process = await server_id(url)
        assert await running(home) == url
    assert not alive(process)
    assert await running(home) is None


async def test_nobody_else_can_reach_the_server_or_its_data(home: Path) -> None:
    async with embedded(home) as url:
        async with Redis.from_url(url, protocol=2) as client:
            assert await client.config_get("port") == {"port": "0"}
        assert mode(url) == 0o700
        assert mode(home / "data" / "valkey") == 0o700


async def test_the_server_has_a_session_of_its_own_and_none_of_our_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OANDA_API_KEY", "hush")
    async with embedded(home) as url:
        process = await server_id(url)
        assert os.getsid(process) == process
        assert b"hush" not in environment(process)


async def test_data_survives_a_restart(home: Path) -> None:
    async with embedded(home) as url, Redis.from_url(url, protocol=2) as client:
        await client.set("key", "kept")
    async with embedded(home) as url, Redis.from_url(url, protocol=2) as client:
        assert await client.get("key") == b"kept"


async def test_a_second_process_joins_the_server_and_leaves_it_running(home: Path) -> None:
    with owner(home) as first:
        async with embedded(home) as url:
            assert url == first.url
        assert await running(home) == first.url


async def test_of_two_that_start_at_once_one_owns_the_server_and_the_other_joins_it(home: Path) -> None:
    with launched(home) as first, launched(home) as second:
        assert first.stdout is not None
        assert second.stdout is not None
        urls = {first.stdout.readline().strip(), second.stdout.readline().strip()}
        assert len(urls) == 1
        assert await running(home) in urls


async def test_a_killed_owner_leaves_no_server_and_loses_no_data(home: Path) -> None:
    with owner(home) as killed:
        process = await server_id(killed.url)
        async with Redis.from_url(killed.url, protocol=2) as client:
            await client.set("key", "kept")
        killed.process.kill()
        await eventually(lambda: ended(process), seconds=1)
    async with embedded(home) as url, Redis.from_url(url, protocol=2) as client:
        assert await client.get("key") == b"kept"


async def test_who_starts_right_after_the_owner_was_killed_waits_for_its_server_to_end(home: Path) -> None:
    with owner(home) as killed:
        process = await server_id(killed.url)
        killed.process.kill()
        killed.process.wait()
        async with embedded(home) as url:
            assert await server_id(url) != process
            assert not alive(process)


async def test_a_server_that_outlives_its_owner_is_ended_and_not_joined(home: Path) -> None:
    folder = Folder(home)
    assert folder.take()
    assert folder.lock()
    orphan = embedded_valkey.Server(folder, embedded_valkey._binary())
    await orphan.start()
    folder.unlock()
    process = await server_id(f"unix://{folder.socket}")
    assert await running(home) is None
    async with embedded(home) as url:
        assert await server_id(url) != process
        assert not alive(process)
    await orphan.stop()


async def test_a_server_that_died_is_started_again_with_its_data(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_valkey, "RESTART_SEC", 0.01)
    async with embedded(home) as url:
        async with Redis.from_url(url, protocol=2) as client:
            await client.set("key", "kept")
        process = await server_id(url)
        os.kill(process, signal.SIGKILL)

        async def back() -> bool:
            return not alive(process) and await running(home) == url

        await eventually(back)
        async with Redis.from_url(url, protocol=2) as client:
            assert await client.get("key") == b"kept"


async def test_an_error_inside_comes_out_as_it_is_and_ends_the_server(home: Path) -> None:
    served: list[int] = []

    async def fail() -> None:
        async with embedded(home) as url:
            served.append(await server_id(url))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not alive(served[0])


async def test_a_server_that_does_not_end_is_killed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_valkey, "STOP_SEC", 0.1)
    async with embedded(home) as url:
        process = await server_id(url)
        os.kill(process, signal.SIGSTOP)
    assert not alive(process)


@pytest.fixture
def far_home(home: Path) -> Iterator[Path]:
    far = home / ("far-" * 20) / ("away-" * 20)
    yield far
    shutil.rmtree(Folder(far).socket.parent, ignore_errors=True)


async def test_a_home_too_long_for_a_socket_has_it_in_a_private_folder(far_home: Path) -> None:
    async with embedded(far_home) as url:
        assert await running(far_home) == url
        path = Path(url.removeprefix("unix://"))
        assert len(os.fsencode(path)) <= SOCKET_BYTES
        assert mode(path.parent) == 0o700
        assert (far_home / "data" / "valkey" / "appendonlydir").is_dir()


async def test_a_private_folder_that_others_can_enter_is_not_used(far_home: Path) -> None:
    folder = Folder(far_home).socket.parent
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StoreUnreachableError, match="belongs to somebody else"):
        async with embedded(far_home):
            pass


async def test_a_home_that_cannot_be_written_is_a_clear_error(home: Path) -> None:
    (home / "data").write_text("not a folder")
    with pytest.raises(StoreUnreachableError, match="HOTBAND_HOME"):
        async with embedded(home):
            pass


@pytest.mark.parametrize("name", ["owner", "lock"])
async def test_a_locked_folder_without_a_server_is_a_clear_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(embedded_valkey, "START_SEC", 0.2)
    folder = home / "data" / "valkey"
    folder.mkdir(parents=True)
    with (folder / name).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreUnreachableError, match="Another process holds"):
            async with embedded(home):
                pass


async def test_data_that_the_server_cannot_read_is_a_clear_error_and_frees_the_folder(home: Path) -> None:
    async with embedded(home) as url, Redis.from_url(url, protocol=2) as client:
        await client.set("key", "kept")
    manifest = home / "data" / "valkey" / "appendonlydir" / "appendonly.aof.manifest"
    intact = manifest.read_bytes()
    manifest.write_bytes(b"garbage\n")
    with pytest.raises(StoreUnreachableError, match="did not start"):
        async with embedded(home):
            pass
    manifest.write_bytes(intact)
    with anyio.fail_after(10):
        async with embedded(home):
            pass


async def test_without_a_binary_the_error_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StoreUnreachableError, match="VALKEY_URL"):
        async with embedded(home):
            pass
    assert await running(home) is None


async def test_a_server_on_the_path_is_preferred(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "bin" / "valkey-server"
    own.parent.mkdir()
    shutil.copy(embedded_valkey._binary(), own)
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(own.parent))
    async with embedded(home) as url:
        assert program(await server_id(url)) == own
