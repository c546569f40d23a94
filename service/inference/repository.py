"""The models of a service beside its main one: which there are, which are loaded, and how that changes."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from contract.bundle import MANIFEST, NAME_PATTERN, VERSION_PATTERN, BundleError
from service.errors import DeviceError, ModelConflict, ServiceError, UnknownModel, UnsoundModel
from service.inference.model import Model
from service.settings import Settings, SettingsError

Key = tuple[str, str]
"""Name and version."""

log = logging.getLogger(__name__)


class Repository:
    """Finds models by name and version. What a request names is looked up, in memory or in a listing of the folder:
    never is it a path.

    Args:
        main: the model that the service is started with; it is never unloaded.
        folder: where the others lie, ``<name>/<version>/``; None: there are no others.
        opener: reads, checks and loads the bundle in a folder; called in a thread.
    """

    def __init__(self, main: Model, folder: Path | None, opener: Callable[[Path], Model]) -> None:
        self._main, self._folder, self._open = main, folder, opener
        self._others: dict[Key, Model] = {}
        self._changing = False

    @property
    def models(self) -> list[Model]:
        """Those that are loaded, the main one first."""
        return [self._main, *self._others.values()]

    def find(self, name: str, version: str | None = None) -> Model:
        """A loaded model. Without a version: the main one if the name is its own, else the highest.

        Raises:
            UnknownModel: none of this name and version is loaded.
        """
        named = [model for model in self.models if model.name == name and version in {None, model.version}]
        if not named:
            raise UnknownModel("no model of this name and version is loaded; POST /v2/repository/index lists them")
        return self._main if self._main in named else max(named, key=lambda model: int(model.version))

    def versions(self, name: str) -> list[str]:
        """The loaded versions of a model, ascending."""
        return sorted((model.version for model in self.models if model.name == name), key=int)

    async def keys(self) -> dict[Key, Model | None]:
        """Every model there is, loaded or not, in order."""
        loaded = {key_of(model): model for model in self.models}
        listed = await asyncio.to_thread(self._list)
        return {key: loaded.get(key) for key in sorted({*listed, *loaded}, key=lambda key: (key[0], int(key[1])))}

    def open_at_start(self, wanted: Sequence[str]) -> None:
        """Load these, each ``name/version``, before the service runs.

        Raises:
            BundleError, DeviceError, SettingsError: one of them cannot be served.
        """
        for text in wanted:
            name, _, version = text.partition("/")
            folder = self._list().get((name, version))
            if folder is None:
                raise SettingsError(f"XRAY_LOAD: there is no {text} in {self._folder or 'a repository: there is none'}")
            if (name, version) != key_of(self._main):
                self._others[name, version] = self._opened((name, version), folder)

    async def load(self, name: str, version: str | None = None) -> Model:
        """Load a model from the folder, without a version the highest there; one that is loaded stays as it is.

        It is seen by requests only once it is checked, loaded and warm; if it fails on the way, nothing has changed.

        Raises:
            UnknownModel: there is none.
            UnsoundModel: it cannot be served.
            ModelConflict: another one is being loaded or unloaded.
        """
        with self._one_at_a_time():
            listed = await asyncio.to_thread(self._list)
            found = [key for key in listed if key[0] == name and version in {None, key[1]}]
            if not found:
                raise UnknownModel("no model of this name and version is in the repository")
            key = max(found, key=lambda key: int(key[1]))
            if loaded := next((model for model in self.models if key_of(model) == key), None):
                return loaded
            try:
                model = await self._started(key, listed[key])
            except UnsoundModel as error:
                log.warning("a model was not loaded", extra=_logged(key) | {"reason": str(error)})
                raise
            self._others[key] = model
            log.info("a model was loaded", extra=_logged(key) | {"graph": model.backend.graph})
            return model

    async def unload(self, name: str, version: str | None = None) -> list[Model]:
        """Unload a model, without a version all that are loaded: at once for new requests, and for good when those that
        are inside have been answered.

        Raises:
            UnknownModel: none of this name and version is loaded.
            ModelConflict: the main model is among them, or another one is being loaded or unloaded.
        """
        with self._one_at_a_time():
            self.find(name, version)
            leaving = [model for model in self.models if model.name == name and version in {None, model.version}]
            if self._main in leaving:
                raise ModelConflict(f"version {self._main.version} is the one that this service serves: it stays")
            for model in leaving:
                del self._others[key_of(model)]
            await asyncio.gather(*(model.drain() for model in leaving))
            for model in leaving:
                log.info("a model was unloaded", extra=_logged(key_of(model)))
            return leaving

    async def _started(self, key: Key, folder: Path) -> Model:
        try:
            model = await asyncio.to_thread(self._opened, key, folder)
        except BundleError as error:
            raise UnsoundModel(str(error).replace(str(folder), "/".join(key))) from error
        except (DeviceError, SettingsError) as error:
            raise UnsoundModel(str(error)) from error
        async with AsyncExitStack() as undo:
            model.start()
            undo.push_async_callback(model.end)
            try:
                await model.warm_up()
            except ServiceError as error:
                raise UnsoundModel("the model fails on a blank image") from error
            undo.pop_all()
        return model

    def _opened(self, key: Key, folder: Path) -> Model:
        model = self._open(folder)
        if key_of(model) != key:
            raise BundleError(f"{folder / MANIFEST}: it says that this is {'/'.join(key_of(model))}")
        return model

    def _list(self) -> dict[Key, Path]:
        """The bundles in the folder."""
        folders = self._folder.glob("*/*") if self._folder else ()
        return {(path.parent.name, path.name): path for path in folders if _is_bundle(path)}

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if self._changing:
            raise ModelConflict("another model is being loaded or unloaded: ask again when that is done")
        self._changing = True
        try:
            yield
        finally:
            self._changing = False


def key_of(model: Model) -> Key:
    """Name and version of a model."""
    return model.name, model.version


def _logged(key: Key) -> dict[str, str]:
    return {"model": key[0], "model_version": key[1]}


def folder_of(settings: Settings, main: Model) -> Path | None:
    """The folder of models that the settings name; else the one that the main model lies in as ``<name>/<version>``.

    Raises:
        SettingsError: there is no such folder.
    """
    if settings.repository is not None:
        if not settings.repository.is_dir():
            raise SettingsError(f"XRAY_REPOSITORY: {settings.repository} is no folder")
        return settings.repository
    path = settings.model.resolve()
    return path.parent.parent if (path.parent.name, path.name) == key_of(main) else None


def _is_bundle(path: Path) -> bool:
    named = re.fullmatch(NAME_PATTERN, path.parent.name) and re.fullmatch(VERSION_PATTERN, path.name)
    return bool(named) and (path / MANIFEST).is_file()
