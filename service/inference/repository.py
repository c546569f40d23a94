"""The model repository: lists, loads and unloads the models of a service beside its main one."""

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
    """Finds models by name and version. A name from a request is looked up, in memory or in a listing of the folder; it
    never becomes a path.

    Args:
        main: the model that the service was started with; it is never unloaded.
        folder: holds the other models as ``<name>/<version>/``; None: there are no others.
        open_model: reads, verifies and loads the bundle in a folder; called in a thread.
    """

    def __init__(self, main: Model, folder: Path | None, open_model: Callable[[Path], Model]) -> None:
        self._main, self._folder, self._open_model = main, folder, open_model
        self._others: dict[Key, Model] = {}
        self._changing = False

    @property
    def models(self) -> list[Model]:
        """The loaded models, the main one first."""
        return [self._main, *self._others.values()]

    def find(self, name: str, version: str | None = None) -> Model:
        """A loaded model. Without a version: the main model if it has this name, else the highest version.

        Raises:
            UnknownModel: no model of this name and version is loaded.
        """
        matches = [model for model in self.models if model.name == name and version in {None, model.version}]
        if not matches:
            raise UnknownModel(
                "no model of this name and version is loaded; POST /v2/repository/index lists what is available"
            )
        return self._main if self._main in matches else max(matches, key=lambda model: int(model.version))

    def versions(self, name: str) -> list[str]:
        """The loaded versions of a model, ascending."""
        return sorted((model.version for model in self.models if model.name == name), key=int)

    async def keys(self) -> dict[Key, Model | None]:
        """Every model that is loaded or can be loaded, in order of name and version; None if it is not loaded."""
        loaded = {key_of(model): model for model in self.models}
        listed = await asyncio.to_thread(self._list)
        return {key: loaded.get(key) for key in sorted({*listed, *loaded}, key=lambda key: (key[0], int(key[1])))}

    def load_at_start(self, names: Sequence[str]) -> None:
        """Load models, each given as ``name/version``, before the service runs.

        Raises:
            BundleError, DeviceError, SettingsError: one of them cannot be served.
        """
        for text in names:
            name, _, version = text.partition("/")
            folder = self._list().get((name, version))
            if folder is None:
                where = f"in {self._folder}" if self._folder else "because there is no repository (XRAY_REPOSITORY)"
                raise SettingsError(f"XRAY_LOAD: there is no {text} {where}")
            if (name, version) != key_of(self._main):
                self._others[name, version] = self._open((name, version), folder)

    async def load(self, name: str, version: str | None = None) -> Model:
        """Load a model from the folder; without a version, the highest there. A model that is loaded stays unchanged.

        The model receives requests only once it is verified, loaded and warmed up. If a step fails, nothing changes.

        Raises:
            UnknownModel: the folder has no such model.
            UnsoundModel: it cannot be served.
            ModelConflict: another model is being loaded or unloaded.
        """
        with self._one_at_a_time():
            listed = await asyncio.to_thread(self._list)
            matches = [key for key in listed if key[0] == name and version in {None, key[1]}]
            if not matches:
                raise UnknownModel("no model of this name and version is in the repository")
            key = max(matches, key=lambda key: int(key[1]))
            if loaded := next((model for model in self.models if key_of(model) == key), None):
                return loaded
            try:
                model = await self._open_and_warm_up(key, listed[key])
            except UnsoundModel as error:
                log.warning("a model was not loaded", extra=_log_fields(key) | {"reason": str(error)})
                raise
            self._others[key] = model
            log.info("a model was loaded", extra=_log_fields(key) | {"graph": model.backend.graph})
            return model

    async def unload(self, name: str, version: str | None = None) -> list[Model]:
        """Unload a model; without a version, all loaded versions. New requests no longer find it; it is released once
        the requests in flight are completed.

        Raises:
            UnknownModel: no model of this name and version is loaded.
            ModelConflict: the main model is among them, or another model is being loaded or unloaded.
        """
        with self._one_at_a_time():
            self.find(name, version)
            unloading = [model for model in self.models if model.name == name and version in {None, model.version}]
            if self._main in unloading:
                raise ModelConflict(
                    f"version {self._main.version} cannot be unloaded: the service was started with this model"
                )
            for model in unloading:
                del self._others[key_of(model)]
            await asyncio.gather(*(model.drain() for model in unloading))
            for model in unloading:
                log.info("a model was unloaded", extra=_log_fields(key_of(model)))
            return unloading

    async def _open_and_warm_up(self, key: Key, folder: Path) -> Model:
        try:
            model = await asyncio.to_thread(self._open, key, folder)
        except BundleError as error:
            raise UnsoundModel(str(error).replace(str(folder), "/".join(key))) from error
        except (DeviceError, SettingsError) as error:
            raise UnsoundModel(str(error)) from error
        async with AsyncExitStack() as undo:
            model.start()
            undo.push_async_callback(model.stop)
            try:
                await model.warm_up()
            except ServiceError as error:
                raise UnsoundModel("the model fails on a blank image") from error
            undo.pop_all()
        return model

    def _open(self, key: Key, folder: Path) -> Model:
        model = self._open_model(folder)
        if key_of(model) != key:
            raise BundleError(f"{folder / MANIFEST}: it names another model, {'/'.join(key_of(model))}")
        return model

    def _list(self) -> dict[Key, Path]:
        """The bundles in the folder, by name and version."""
        folders = self._folder.glob("*/*") if self._folder else ()
        return {(path.parent.name, path.name): path for path in folders if _is_bundle(path)}

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if self._changing:
            raise ModelConflict("another model is being loaded or unloaded: retry when that is done")
        self._changing = True
        try:
            yield
        finally:
            self._changing = False


def key_of(model: Model) -> Key:
    """Name and version of a model."""
    return model.name, model.version


def _log_fields(key: Key) -> dict[str, str]:
    return {"model": key[0], "model_version": key[1]}


def repository_folder(settings: Settings, main: Model) -> Path | None:
    """The folder of models: the setting, else the folder that holds the main model as ``<name>/<version>``, else None.

    Raises:
        SettingsError: the folder of the setting does not exist.
    """
    if settings.repository is not None:
        if not settings.repository.is_dir():
            raise SettingsError(f"XRAY_REPOSITORY: {settings.repository} is not a folder")
        return settings.repository
    path = settings.model.resolve()
    return path.parent.parent if (path.parent.name, path.name) == key_of(main) else None


def _is_bundle(path: Path) -> bool:
    is_named = re.fullmatch(NAME_PATTERN, path.parent.name) and re.fullmatch(VERSION_PATTERN, path.name)
    return bool(is_named) and (path / MANIFEST).is_file()
