"""The plan of a run: the ordered list of items, divided into parts, and everything else that the rows depend on.

``_plan.parquet`` holds the items, ``_plan.json`` the rest and the digests. The latter is written last, so a plan is
complete or absent.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from typing import BinaryIO

import pyarrow
from pyarrow import parquet
from pydantic import ValidationError

from service.bulk.errors import StorageError
from service.bulk.rules import FORMAT, Rules
from service.bulk.sources.items import Item
from service.bulk.store import Store
from service.settings import SettingsError

# In the metadata of the list: its own digest, by which it is known to be that of the plan.
LIST = b"xray.list"
ITEMS, FACTS = "_plan.parquet", "_plan.json"
ITEM_SCHEMA = pyarrow.schema(
    [
        pyarrow.field("uri", pyarrow.string(), nullable=False),
        ("member", pyarrow.string()),
        ("position", pyarrow.int64()),
        ("size", pyarrow.int64()),
        ("fault", pyarrow.string()),
    ]
)
# Items that are read and written at a time, or one part if that is larger.
_GROUP = 16_384


class Plan(Rules):
    """The content of ``_plan.json``."""

    items: int
    list_sha256: str

    @property
    def parts(self) -> int:
        """The number of parts."""
        return -(-self.items // self.part_size)

    @property
    def digest(self) -> str:
        """SHA-256 of the whole plan."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def size_of(self, number: int) -> int:
        """How many items a part has."""
        return min(self.part_size, self.items - number * self.part_size)


def part_name(number: int) -> str:
    """The name of a part's file, which depends on its number alone."""
    return f"part-{number:06d}.parquet"


def write_plan(store: Store, rules: Rules, items: Iterable[Item]) -> Plan:
    """Write a plan. The items are never all in memory.

    Raises:
        SettingsError: there are none; or what the items raise.
        StorageError: the plan cannot be written.
    """
    try:
        with tempfile.TemporaryFile(dir=store.scratch) as file:
            plan = _plan_of(rules, items, file)
            store.put_file(ITEMS, file)
    except OSError as error:
        raise StorageError(f"{ITEMS} cannot be prepared in a temporary file: {error.strerror}") from None
    store.put(FACTS, (plan.model_dump_json(indent=2) + "\n").encode())
    return plan


def plan_of(rules: Rules, items: Iterable[Item]) -> Plan:
    """The plan of these rules and items, without writing it."""
    return _plan_of(rules, items, None)


def read_plan(store: Store) -> Plan | None:
    """The plan of a run; None if it has none.

    Raises:
        SettingsError: another version wrote it, or it is damaged.
    """
    try:
        content = json.loads(store.read(FACTS))
        if isinstance(content, dict) and content.get("format") != FORMAT:
            raise SettingsError(f"--out: {FACTS} has the format {content.get('format')}; this version reads {FORMAT}")
        return Plan.model_validate(content)
    except FileNotFoundError:
        return None
    except (ValidationError, ValueError):
        raise SettingsError(f"--out: {FACTS} is damaged") from None


class PlannedItems:
    """The items of a plan, by part.

    Args:
        store: where the plan is.
        plan: the plan.

    Raises:
        StorageError: the items are not there, or those of another plan.
    """

    def __init__(self, store: Store, plan: Plan) -> None:
        try:
            self._file = parquet.ParquetFile(store.open(ITEMS), page_checksum_verification=True)
        except (FileNotFoundError, pyarrow.ArrowInvalid):
            raise StorageError(f"{ITEMS} is not there, or damaged") from None
        kept = (self._file.metadata.metadata or {}).get(LIST, plan.list_sha256.encode())  # older versions kept none
        if kept != plan.list_sha256.encode() or self._file.metadata.num_rows != plan.items:
            raise StorageError(f"{ITEMS} is not the list of this plan")
        self._plan, self._group, self._rows = plan, -1, pyarrow.table({})

    def of(self, number: int) -> list[Item]:
        """The items of one part.

        Raises:
            StorageError: they cannot be read.
        """
        size = _group_size(self._plan.part_size)
        group, start = divmod(number * self._plan.part_size, size)
        if group != self._group:
            try:
                self._rows, self._group = self._file.read_row_group(group), group
            except (OSError, pyarrow.ArrowException):
                raise StorageError(f"{ITEMS} is damaged, or cannot be read") from None
        rows = self._rows.slice(start, self._plan.part_size)
        return [Item(*row) for row in zip(*(column.to_pylist() for column in rows.columns), strict=True)]

    def close(self) -> None:
        """Close the file."""
        self._file.close(force=True)


def _group_size(part_size: int) -> int:
    """Items of a row group: whole parts."""
    return max(1, _GROUP // part_size) * part_size


def _plan_of(rules: Rules, items: Iterable[Item], file: BinaryIO | None) -> Plan:
    digest, count = hashlib.sha256(), 0
    with _writer(file) if file else nullcontext() as writer:
        for group in _groups(items, _group_size(rules.part_size)):
            count += len(group)
            for item in group:
                digest.update(json.dumps(item).encode())
            if writer:
                writer.write_table(_table(group), row_group_size=len(group))
        if writer:
            writer.add_key_value_metadata({LIST.decode(): digest.hexdigest()})
    if not count:
        raise SettingsError("there are no images to be read")
    return Plan(**rules.model_dump(), items=count, list_sha256=digest.hexdigest())


def _writer(file: BinaryIO) -> parquet.ParquetWriter:
    return parquet.ParquetWriter(file, ITEM_SCHEMA, compression="zstd", write_page_checksum=True)


def _groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group


def _table(items: list[Item]) -> pyarrow.Table:
    columns = [
        pyarrow.array(values, field.type) for values, field in zip(zip(*items, strict=True), ITEM_SCHEMA, strict=True)
    ]
    return pyarrow.Table.from_arrays(columns, schema=ITEM_SCHEMA)
