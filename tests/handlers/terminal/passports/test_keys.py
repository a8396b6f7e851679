"""`registrar keys`, and the folder that it writes."""

from __future__ import annotations

import os
from pathlib import Path
from stat import S_IMODE

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import Misconfigured
from bot.key_folder import KeyFolder
from tests.support.passports.harness import PassportHarness, new_key
from tests.support.terminal.cli_runner import CliRunner

OFFLINE = ("--folder", "made")


# -- the commands ------------------------------------------------------------------------------------------------------


def test_init_creates_a_key_that_only_its_owner_can_read(registrar: CliRunner, tmp_path: Path) -> None:
    made = registrar("keys", "init", *OFFLINE, "--json").document
    private, folder = tmp_path / "made" / f"{made['key']}.pem", tmp_path / "made"
    assert (S_IMODE(private.stat().st_mode), S_IMODE(folder.stat().st_mode)) == (0o600, 0o700)
    assert isinstance(load_pem_private_key(private.read_bytes(), None), Ed25519PrivateKey)
    assert made["public_key"] == str(tmp_path / "made" / f"{made['key']}.pub")


def test_init_refuses_to_replace_a_key(registrar: CliRunner, tmp_path: Path) -> None:
    registrar("keys", "init", *OFFLINE)
    before = sorted(tmp_path.joinpath("made").iterdir())
    again = registrar("keys", "init", *OFFLINE)
    assert (again.code, sorted(tmp_path.joinpath("made").iterdir())) == (1, before)
    assert "registrar keys rotate" in again.err


def test_rotate_needs_a_key(registrar: CliRunner) -> None:
    refused = registrar("keys", "rotate", *OFFLINE)
    assert (refused.code, "registrar keys init" in refused.err) == (1, True)


def test_rotate_keeps_the_old_keys(registrar: CliRunner, tmp_path: Path) -> None:
    old = registrar("keys", "init", *OFFLINE, "--json").document["key"]
    new = registrar("keys", "rotate", *OFFLINE, "--json").document["key"]
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert names == {"active", f"{old}.pem", f"{old}.pub", f"{new}.pem", f"{new}.pub"}


def test_a_retired_key_can_only_verify(registrar: CliRunner, tmp_path: Path) -> None:
    old = registrar("keys", "init", *OFFLINE, "--json").document["key"]
    registrar("keys", "rotate", *OFFLINE, "--retire")
    keys = {key["id"]: key for key in registrar("keys", "list", *OFFLINE, "--json").document["keys"]}
    assert (keys[old]["active"], keys[old]["can_sign"]) == (False, False)
    assert KeyFolder(tmp_path / "made").signer() is not None
    assert not (tmp_path / "made" / f"{old}.pem").exists()


def test_list_shows_which_key_signs(registrar: CliRunner) -> None:
    old = registrar("keys", "init", *OFFLINE, "--json").document["key"]
    new = registrar("keys", "rotate", *OFFLINE, "--json").document["key"]
    lines = registrar("keys", *OFFLINE).out
    assert f"{old} not active" in lines
    assert f"{new} active" in lines


def test_list_says_how_to_create_a_key(registrar: CliRunner) -> None:
    assert registrar("keys").out == "No keys. Run registrar keys init.\n"


def test_no_command_prints_a_private_key(registrar: CliRunner, tmp_path: Path) -> None:
    printed = "".join(registrar("keys", *words, *OFFLINE).out for words in (["init"], ["rotate"], ["list"]))
    secrets = {line for path in (tmp_path / "made").glob("*.pem") for line in path.read_text().splitlines()}
    assert not any(secret in printed for secret in secrets)


def test_init_records_the_key_and_signs_what_is_in_the_stages(
    office: PassportHarness, registrar: CliRunner, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.services.core.startup_check.StartupCheck.has_passed", lambda _: True)
    office.bench.watch.poll()
    (office.folder / "active").unlink()
    office.promote()
    made = registrar("keys", "init", "--json", REGISTRAR_DATABASE_URL=sqlite_url, REGISTRAR_KEYS=str(office.folder))
    [event] = [event for event in office.bench.events() if event.tag is EventTag.KEY_CREATED]
    assert (made.document["issued"], event.subject) == (1, made.document["key"])
    assert office.issued()[0].key == made.document["key"]


def test_rotate_signs_again_what_is_in_the_stages(
    office: PassportHarness, registrar: CliRunner, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.services.core.startup_check.StartupCheck.has_passed", lambda _: True)
    office.bench.watch.poll()
    office.promote()
    made = registrar("keys", "rotate", "--json", REGISTRAR_DATABASE_URL=sqlite_url, REGISTRAR_KEYS=str(office.folder))
    assert [passport.key for passport in office.issued()][1:] == [made.document["key"]]


def test_the_private_key_of_an_interrupted_init_is_not_used(registrar: CliRunner, tmp_path: Path) -> None:
    KeyFolder(tmp_path / "made").create()
    assert registrar("keys", "init", *OFFLINE).code == 0
    assert len(list((tmp_path / "made").glob("*.pem"))) == 2


# -- the folder --------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Return the file of the active private key."""
    return tmp_path / f"{new_key(KeyFolder(tmp_path))}.pem"


def test_a_key_signs_what_its_public_key_verifies(key: Path) -> None:
    signer = KeyFolder(key.parent).signer()
    assert signer is not None
    public = load_pem_public_key(key.with_suffix(".pub").read_bytes())
    public.verify(signer.sign(b"some bytes"), b"some bytes")  # type: ignore[union-attr, call-arg]
    assert signer.key_id == key.stem


def test_a_folder_that_does_not_exist_has_no_key(tmp_path: Path) -> None:
    assert KeyFolder(tmp_path / "nowhere").signer() is None
    assert KeyFolder(tmp_path / "nowhere").stored_keys() == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_key_that_others_can_read_or_change_is_refused(key: Path, mode: int) -> None:
    key.chmod(mode)
    with pytest.raises(Misconfigured, match="Others can read or change"):
        KeyFolder(key.parent).signer()


def test_a_group_can_read_a_mounted_secret(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    for path in key.parent.iterdir():
        os.chown(path, 0, -1)
    key.chmod(0o440)
    assert KeyFolder(key.parent).signer() is not None
    key.chmod(0o444)
    with pytest.raises(Misconfigured):
        KeyFolder(key.parent).signer()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["active", "key"])
def test_a_file_of_another_user_is_refused(key: Path, name: str) -> None:
    os.chown(key if name == "key" else key.with_name("active"), 10002, -1)
    with pytest.raises(Misconfigured):
        KeyFolder(key.parent).signer()


@pytest.mark.parametrize("text", ["", "../key", "0" * 63, "G" * 64, "\0", "\xff"])
def test_the_active_file_must_name_a_key(key: Path, text: str) -> None:
    key.with_name("active").write_text(text, encoding="latin-1")
    with pytest.raises(Misconfigured, match="doesn't contain the ID of a key"):
        KeyFolder(key.parent).signer()


@pytest.mark.parametrize("data", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff" * 99])
def test_a_damaged_key_is_refused_without_printing_it(key: Path, data: bytes) -> None:
    key.write_bytes(data)
    with pytest.raises(Misconfigured) as refused:
        KeyFolder(key.parent).signer()
    assert "isn't the Ed25519 key that its name says" in str(refused.value)
    assert refused.value.__cause__ is None


def test_another_key_under_this_name_is_refused(key: Path, tmp_path: Path) -> None:
    other = tmp_path / f"{KeyFolder(tmp_path).create()}.pem"
    other.replace(key)
    with pytest.raises(Misconfigured, match="isn't the Ed25519 key"):
        KeyFolder(key.parent).signer()


def test_a_missing_private_key_is_named(key: Path) -> None:
    key.unlink()
    with pytest.raises(Misconfigured, match="No such file"):
        KeyFolder(key.parent).signer()


def test_a_new_key_is_used_without_a_restart(key: Path) -> None:
    folder = KeyFolder(key.parent)
    new = new_key(folder)
    signer = folder.signer()
    assert signer is not None
    assert signer.key_id == new
