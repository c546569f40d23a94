"""The configuration file: what is checked, and that the example of the documentation works."""

import re
from pathlib import Path

import pytest

from node.config import Config, ConfigError, CStore, read_config
from tests import ROOT
from tests.node.running import node_command, write_config

MINIMAL = """
[scp]
calling_ae_titles = ["PACS"]
[spool]
folder = "spool"
[service]
url = "http://127.0.0.1:8000"
[[destinations]]
name = "pacs"
type = "c-store"
address = "pacs.example"
port = 104
ae_title = "PACS"
"""


def read(folder: Path, text: str) -> Config:
    path = folder / "node.toml"
    path.write_text(text)
    return read_config(path)


def test_the_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL)
    assert config.scp.ae_titles == ["XRAYNODE"]
    assert config.scp.port == 11112
    assert config.http.address == "127.0.0.1"
    assert config.spool.folder == tmp_path / "spool"
    assert isinstance(config.destinations[0], CStore)
    assert config.destinations[0].results == ["sr", "heatmap"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["PACS"]', "[]", "scp.calling_ae_titles: "),
        ('["PACS"]', '["THIS TITLE IS TOO LONG"]', "scp.calling_ae_titles.0: "),
        ("[spool]", 'ae_title = "X"\n[spool]', "scp.ae_title: it is not known"),
        ("port = 104", "port = 70000", "destinations.0.c-store.port: it must be 65535 or less"),
        ('type = "c-store"', 'type = "ftp"', "destinations.0: its 'type' must be one of 'c-store', 'stow-rs'"),
        ('name = "pacs"', 'name = "a b"', "destinations.0.c-store.name: "),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "service.url: it must be an address (URL)"),
        ("[spool]", '[scp.tls]\nca_file = "ca.pem"\n[spool]', "scp: tls: a server needs certificate and key"),
        ("[spool]", '[scp.tls]\nkey = "k.pem"\n[spool]', "scp.tls: certificate and key are given together"),
        (
            "[spool]",
            '[scp.tls]\nkey = "k.pem"\ncertificate = "c.pem"\n[spool]',
            "c.pem does not exist or is not a file",
        ),
        ("[spool]", "[spool", "is not valid TOML: "),
        ("[service]", "remember_h = 1\n[service]", "spool: remember_h must be at least max_age_h + dead_letters_h"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(tmp_path, MINIMAL.replace(old, new))


def test_two_destinations_need_two_names(tmp_path: Path) -> None:
    again = MINIMAL[MINIMAL.index("[[destinations]]") :]
    with pytest.raises(ConfigError, match="two have the same name"):
        read(tmp_path, MINIMAL + again)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"node\.toml cannot be read: No such file"):
        read_config(tmp_path / "node.toml")


def test_the_example_of_the_documentation_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "node.md").read_text(), re.S)
    for name in re.findall(r'_file = "(.*?)"|(?:certificate|key) = "(.*?)"', example):
        (tmp_path / max(name)).write_text("")
    config = read(tmp_path, example)
    assert [each.type for each in config.destinations] == ["c-store", "stow-rs"]


def test_the_example_of_deploy_is_valid() -> None:
    assert read_config(ROOT / "deploy" / "node" / "node.toml").scp.calling_ae_titles


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["check"], 0, ""),
        (["dead"], 2, "it has no ledger.sqlite"),
        (["retry"], 2, "give SOP Instance UIDs, or --all"),
        (["retry", "1.2", "--all"], 2, "give SOP Instance UIDs, or --all"),
    ],
)
def test_commands_end_with_an_exit_code_and_one_line(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = node_command(write_config(tmp_path, "http://127.0.0.1:1", 1), *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == (1 if message else 0)
