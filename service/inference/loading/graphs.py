"""The graph of a bundle, loaded as the settings require, after it was tried out."""

from contextlib import nullcontext

from contract.bundle import GRAPH, Bundle
from service.inference.backend import OnnxBackend
from service.inference.guard import choose_guard
from service.inference.loading.trial import bounded_memory, try_in_another_process, try_out
from service.inference.points import default_point
from service.inference.session import CPU, cpu_graph, cuda_of, has_cuda, max_batch_of, open_session
from service.inference.threads.cpus import CallPlan, cpus_per_worker, plan_calls
from service.settings import Settings

# A larger graph does not fit into the cache of a CPU, and is read from memory for each call.
_CPU_CACHE_BYTES = 32 * 2**20


def open_backend(settings: Settings, bundle: Bundle, *, tried: bool = False) -> OnnxBackend:
    """Load the graph of a bundle that the settings select.

    Args:
        settings: the effective settings.
        bundle: the verified bundle.
        tried: whether the graph was tried out; if not, it is, and no other thread of the process should need memory.

    Raises:
        BundleError, DeviceError, SettingsError: the graph cannot be loaded as the settings require.
    """
    # Checked before the model is loaded, so that a wrong setting fails at once, with one line.
    default_point(bundle.manifest, settings.operating_point, settings.population)
    guard = choose_guard(bundle.manifest, settings.guard)
    plan, batch = call_plan(settings, bundle), max_batch_of(settings, CPU)
    # CUDA has a limit of its own (XRAY_GPU_MEMORY_BYTES), and maps more memory than it takes.
    bounded = not tried and (settings.device == "cpu" or not has_cuda())
    with bounded_memory(batch) if bounded else nullcontext():
        live = open_session(bundle, settings.device, settings.precision, plan, cuda_of(settings))
        backend = OnnxBackend(bundle, live, guarded=guard.mode != "off")
        if bounded:
            try_out(live.alone or live.session, live.graph, batch)
    return backend


async def try_bundle(settings: Settings, bundle: Bundle) -> None:
    """Try out the graph of a bundle that the settings select, in another process, on the CPU.

    Raises:
        BundleError, SettingsError: it cannot be served.
    """
    name, graph = expected_graph(settings, bundle)
    plan, batch = call_plan(settings, bundle), max_batch_of(settings, CPU)
    await try_in_another_process(graph, name, batch, plan.alone)


def expected_graph(settings: Settings, bundle: Bundle) -> tuple[str, bytes]:
    """Name and bytes of the graph of a bundle that will run here, if CUDA works where it should.

    Raises:
        SettingsError: the precision is int8, but the bundle has no such graph.
    """
    on_cpu = settings.device == "cpu" or not has_cuda()
    return cpu_graph(bundle, settings.precision) if on_cpu else (GRAPH, bundle.graph)


def call_plan(settings: Settings, bundle: Bundle) -> CallPlan:
    """How calls of a bundle's graph share the CPUs of one worker."""
    cpus, is_large = cpus_per_worker(settings.workers), len(bundle.graph) > _CPU_CACHE_BYTES
    return plan_calls(cpus, settings.parallel_runs, settings.threads, batches_pay=is_large)
