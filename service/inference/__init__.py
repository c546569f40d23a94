"""From one image to one result: admission, decoding, batching, the model. No HTTP. Imports the vocabulary and
``telemetry``.

``loading`` reads and verifies a bundle, and tries its graph out. ``model`` is one model while it is served: bundle,
backend, guard, batcher, reader, from warm-up to shutdown. A service has a main model, used by every call that names
none, which may be replaced while the service runs, and others by name and version (``repository``), which may be loaded
and unloaded. A request keeps the model that it began with.

    admission (a slot) -> reader -> contract.image in a thread of pool -> batcher (the queue) -> scorer -> backend
    the same, on a CPU -> reader -> contract.image in a thread of pool -> scorer -> backend (the graph)

- ``batching`` collects images into batches where these pay, calls the model, and finds the image at fault. On a CPU
  each compute thread may call the model, and scores the image that it has just decoded.
- ``admission`` bounds images and bytes in flight; a slot is taken before the body is read.
- ``pool`` has as many threads as there are CPUs (``cpus``), with a lower priority than the event loop. The model's
  tasks go before decoding.
- ``session`` decides which graph of the bundle runs on which execution provider, and reports the one that really runs;
  on CUDA ``buckets`` pads batches to a few sizes, each with a session that was warmed up before the port opened.
- ``recovery`` scores a blank image after faults, and rebuilds the session; ``calls`` tracks how long calls run.
- ``guard`` judges the distance from the training data; ``points`` finds the operating point of a request.

The batcher keeps four promises, each with a test: a single image never waits for others to fill a batch; only decoded
pixels enter the queue, so a bad image cannot affect others; the images of a batch that fails are tried one by one, so
only the image at fault fails; every accepted job gets exactly one result, also when its client disconnects or the
service stops. A batch computes heatmaps only if one of its jobs asked for one.
"""
