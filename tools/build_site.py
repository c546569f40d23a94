"""The documentation site: stage the pages and all that they link to, then build.

    python tools/build_site.py [--out build/docs]

Pages and files are copied in the layout of the repository, so a relative link that is right there is right on the site,
also one to a file outside ``docs/``. A link to a folder leads to a list of its files, which is written here. The site
is ``OUT/site``: open ``index.html`` in a browser, from a disk or from any web server; it needs no internet.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/**/*.md", "models/*/*/MODEL_CARD.md")
ASSETS = ("docs/assets/*",)
_LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")
_LIST = "README.md"


class BrokenLink(Exception):
    """A page links to what is not in the repository; the message names both."""


def links(text: str) -> Iterator[str]:
    """The targets of a page's relative links and pictures, without anchors; addresses with a scheme are left out."""
    return (match[2] for match in _LINK.finditer(text))


def staged(text: str, folder: Path) -> str:
    """A page's text as it is staged: links to folders lead to the list in them.

    Args:
        text: of the page, Markdown.
        folder: of the page, in the repository.
    """

    def target(match: re.Match[str]) -> str:
        name = f"{match[2].rstrip('/')}/{_LIST}" if (folder / match[2]).is_dir() else match[2]
        return f"{match[1]}{name}{match[3]}"

    return _LINK.sub(target, text)


def listing(folder: Path) -> str:
    """A page, Markdown, that links to every file below a folder; a Markdown file by its first heading."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    lines = (f"- [{_title(path, folder)}]({path.relative_to(folder).as_posix()})" for path in files)
    return "\n".join([f"# {folder.relative_to(ROOT).as_posix()}", "", *lines, ""])


def _title(path: Path, folder: Path) -> str:
    if path.suffix == ".md" and (heading := re.match(r"# (.+)", path.read_text())):
        return heading[1]
    return path.relative_to(folder).as_posix()


def stage(out: Path) -> None:
    """Copy every page and everything that is linked to into ``out``, and write lists of the folders that are.

    Raises:
        BrokenLink: a target is not in the repository.
    """
    waiting = [(path, path) for pattern in (*PAGES, *ASSETS) for path in ROOT.glob(pattern)]
    done: set[Path] = set()
    while waiting:
        path, source = waiting.pop()
        if not path.exists() or not path.is_relative_to(ROOT):
            raise BrokenLink(f"{source.relative_to(ROOT)} links to {path}, which is not in the repository")
        if path in done:
            continue
        done.add(path)
        copy = out / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            copy.mkdir(exist_ok=True)
            (copy / _LIST).write_text(listing(path))
            waiting += [(path / link, path) for link in links(listing(path))]
        elif path.suffix == ".md":
            copy.write_text(staged(path.read_text(), path.parent))
            waiting += [((path.parent / link).resolve(), path) for link in links(path.read_text())]
        else:
            shutil.copy(path, copy)


def build(out: Path) -> Path:
    """Stage and build into ``out``, anew.

    Returns:
        The folder of the site.

    Raises:
        BrokenLink: a target is not in the repository.
        subprocess.CalledProcessError: a page or an anchor that is linked to does not exist; which was printed.
    """
    shutil.rmtree(out, ignore_errors=True)
    stage(out / "pages")
    version = re.search(r'^VERSION = "(.+)"', (ROOT / "service" / "wire.py").read_text(), re.M)
    configuration = (ROOT / "mkdocs.yml").read_text().replace("VERSION", version[1] if version else "")
    (out / "mkdocs.yml").write_text(configuration)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(out / "mkdocs.yml")]
    subprocess.run(command, check=True)
    return out / "site"


def main() -> int:
    """Build, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "docs", help="emptied first")
    try:
        print(build(parser.parse_args().out) / "index.html")
    except BrokenLink as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
