"""The documentation site: every page is in it, every link leads somewhere, and nothing is asked for elsewhere."""

import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests import ROOT
from tools import build_site

# What a browser fetches by itself when it opens a page; an <a> only leads there.
FETCHED = {"script", "img", "link", "iframe", "source", "video", "audio", "object", "embed"}


class Page(HTMLParser):
    """The addresses and anchors of one page: ``addresses`` has the tag of each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag refers to."""
        for name, value in attrs:
            if name in {"href", "src", "srcset", "data"} and value:
                self.addresses.append((tag, value))
            elif name in {"id", "name"} and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site.build(tmp_path_factory.mktemp("docs") / "out")


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    # The page for addresses that do not exist is served from any folder, so its own are those of a server's root.
    return {path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}


def in_nav(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from in_nav(below)


def test_every_page_is_in_the_navigation() -> None:
    named = set(in_nav(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    written = {"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/decisions/README.md"}
    assert named == written | {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}


def test_every_document_is_on_the_site(site: Path) -> None:
    assert (site / "index.html").exists()
    documents = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "models").rglob("MODEL_CARD.md")]
    assert len(documents) > 25
    assert [path for path in documents if not (site / path.relative_to(ROOT)).with_suffix(".html").exists()] == []


def test_every_link_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    wrong = []
    for path, page in pages.items():
        for _, address in page.addresses:
            parts = urlsplit(address)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = target.is_file() and target.is_relative_to(site)
            if not there or (parts.fragment and target in pages and parts.fragment not in pages[target].anchors):
                wrong.append(f"{path.relative_to(site)}: {address}")
    assert wrong == []


def test_a_page_asks_for_files_of_the_site_only(pages: dict[Path, Page]) -> None:
    fetched = [address for page in pages.values() for tag, address in page.addresses if tag in FETCHED]
    assert len(fetched) > len(pages)
    assert [address for address in fetched if urlsplit(address).scheme or address.startswith("//")] == []


def test_it_says_of_which_version_it_is(site: Path) -> None:
    assert "xray-inference 0.1.0" in (site / "index.html").read_text()


def a_repository(folder: Path, readme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a page, and a folder with a file that cannot be a page."""
    (folder / "examples").mkdir()
    (folder / "examples" / "ask.sh").write_text("curl\n")
    (folder / "README.md").write_text(f"# Title\n\n{readme}\n")
    (folder / "service").mkdir()
    (folder / "service" / "wire.py").write_text('VERSION = "1.2.3"\n')
    (folder / "mkdocs.yml").write_text("site_name: a\ndocs_dir: pages\nuse_directory_urls: false\n")
    monkeypatch.setattr(build_site, "ROOT", folder)


@pytest.mark.parametrize("link", ["docs/api.md", "examples/ask.py", "nothing", "../README.md"])
def test_a_link_to_what_is_not_there_is_an_error(link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "repository").mkdir()
    a_repository(tmp_path / "repository", f"See [this]({link}).", monkeypatch)
    with pytest.raises(build_site.BrokenLink, match=r"README\.md links to"):
        build_site.build(tmp_path / "out")


def test_a_link_to_an_anchor_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_repository(tmp_path, "See [this](#nothing).", monkeypatch)
    with pytest.raises(subprocess.CalledProcessError):
        build_site.build(tmp_path / "out")


def test_a_link_to_a_folder_leads_to_a_list_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_repository(tmp_path, "See [this](examples) or [that](examples/).", monkeypatch)
    site = build_site.build(tmp_path / "out")
    assert [address for _, address in Page((site / "index.html").read_text()).addresses].count(
        "examples/index.html"
    ) == 2
    assert ("a", "ask.sh") in Page((site / "examples" / "index.html").read_text()).addresses
    assert (site / "examples" / "ask.sh").read_text() == "curl\n"
