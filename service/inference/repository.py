"""The models of a service: the main one, which can be replaced, and others, which are listed, loaded and unloaded."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from contract.bundle import Bundle, BundleError
from service.errors import DeviceError, ModelConflict, ServiceError, UnknownModel, UnsoundModel
from service.inference.loading.bundles import Key, read_model, read_successor, without_path
from service.inference.loading.folder import bundles_in
from service.inference.loading.graphs import try_bundle
from service.inference.loading.memory import return_freed_memory
from service.inference.model import Model, SharedResources, open_model
from service.settings import SettingsError

# Seconds after which nothing refers to a released model any more: tracebacks, answers that are being written.
_RELEASED_AFTER_S = 1.0

log = logging.getLogger(__name__)


class Repository:
    """Finds models by name and version. A name from a request is looked up, in memory or in a listing; it is no path.

    Args:
        shared: settings, threads and metrics, which all models share.
        main: the model that the service starts with; it can be replaced, but not unloaded.
        folder: holds the other models as ``<name>/<version>/``; None: there are no others.
    """

    def __init__(self, shared: SharedResources, main: Model, folder: Path | None) -> None:
        self._shared, self._main, self._folder = shared, main, folder
        self._others: dict[Key, Model] = {}
        self._retired: set[asyncio.Task[None]] = set()
        self._changing = False

    @property
    def main(self) -> Model:
        """The served model: that of every request that names none."""
        return self._main

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
                self._others[name, version] = self._open(folder, (name, version))

    async def load(self, name: str, version: str | None = None) -> Model:
        """Load a model from the folder; without a version, the highest there. A model that is loaded stays unchanged.

        The model receives requests only once it is verified, loaded and warmed up. If a step fails, nothing changes.

        Raises:
            UnknownModel: the folder has no such model.
            UnsoundModel: it cannot be served.
            ModelConflict: another model is being loaded or unloaded.
        """
        with self.changing():
            listed = await asyncio.to_thread(self._list)
            matches = [key for key in listed if key[0] == name and version in {None, key[1]}]
            if not matches:
                raise UnknownModel("no model of this name and version is in the repository")
            key = max(matches, key=lambda key: int(key[1]))
            if loaded := next((model for model in self.models if key_of(model) == key), None):
                return loaded
            try:
                with _as_unsound(listed[key], "/".join(key)):
                    bundle = await asyncio.to_thread(read_model, self._shared.settings, listed[key], key)
                    model = await self._open_and_warm_up(bundle)
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
        with self.changing():
            self.find(name, version)
            unloading = [model for model in self.models if model.name == name and version in {None, model.version}]
            if self._main in unloading:
                raise ModelConflict(f"version {self._main.version} cannot be unloaded: it is the served model")
            for model in unloading:
                del self._others[key_of(model)]
            await asyncio.gather(*(model.drain() for model in unloading))
            for model in unloading:
                log.info("a model was unloaded", extra=_log_fields(key_of(model)))
            _return_memory_soon()
            return unloading

    async def open_successor(self, digest: str | None = None) -> Model | None:
        """Read, verify, load and warm up what XRAY_MODEL names now, for ``switch``; None if it is the main model.

        Args:
            digest: of the bundle that is expected; None: any.

        Raises:
            UnsoundModel: it cannot be served.
        """
        settings = self._shared.settings
        with _as_unsound(settings.model, "XRAY_MODEL"):
            bundle = await asyncio.to_thread(read_successor, settings, self._main.bundle, digest)
            return await self._open_and_warm_up(bundle, main=True) if bundle else None

    def switch(self, successor: Model) -> None:
        """Make another model the main one. The old one completes the requests that use it, and is released."""
        old, self._main = self._main, successor
        old.reader.counts = False
        same = self._others.pop(key_of(successor), None)  # the main model is also found by its name
        for model in filter(None, (old, same)):
            task = asyncio.create_task(model.drain(), name=f"drain {model.name}/{model.version}")
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)
            task.add_done_callback(lambda _: _return_memory_soon())

    async def stop(self) -> None:
        """Stop all models at once. Pending requests fail with NotReady."""
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, *(model.stop() for model in self.models), return_exceptions=True)

    async def _open_and_warm_up(self, bundle: Bundle, *, main: bool = False) -> Model:
        await try_bundle(self._shared.settings, bundle)
        model = await asyncio.to_thread(open_model, self._shared, bundle, main=main, tried=True)
        async with AsyncExitStack() as undo:
            model.start()
            undo.push_async_callback(model.stop)
            try:
                await model.warm_up()
            except ServiceError as error:
                raise UnsoundModel("the model fails on a blank image") from error
            undo.pop_all()
        return model

    def _open(self, folder: Path, key: Key) -> Model:
        return open_model(self._shared, read_model(self._shared.settings, folder, key))

    def _list(self) -> dict[Key, Path]:
        return bundles_in(self._folder) if self._folder else {}

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change the models within this context, which no other change enters.

        Raises:
            ModelConflict: there is another.
        """
        if self._changing:
            raise ModelConflict("another model is being loaded or unloaded: retry when that is done")
        self._changing = True
        try:
            yield
        finally:
            self._changing = False


def _return_memory_soon() -> None:
    """Return the memory of a released model once nothing refers to it any more."""
    loop = asyncio.get_running_loop()
    loop.call_later(_RELEASED_AFTER_S, loop.run_in_executor, None, return_freed_memory)


def key_of(model: Model) -> Key:
    """Name and version of a model."""
    return model.name, model.version


@contextmanager
def _as_unsound(path: Path, name: str) -> Iterator[None]:
    """Turn what makes a bundle unfit into UnsoundModel, with ``name`` in place of the path."""
    try:
        yield
    except BundleError as error:
        raise UnsoundModel(without_path(error, path, name)) from error
    except (DeviceError, SettingsError) as error:
        raise UnsoundModel(str(error)) from error


def _log_fields(key: Key) -> dict[str, str]:
    return {"model": key[0], "model_version": key[1]}
