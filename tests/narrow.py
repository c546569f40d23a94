"""Networks with few channels, for tests of what is done with a network: such tests take a tenth of the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from training.networks.architectures import ARCHITECTURES, deep
from training.networks.compact import compact


@contextmanager
def narrow_networks() -> Iterator[None]:
    """Make ``deep`` and ``compact`` networks with the same layers, and fewer channels, in this context.

    Of 16 channels at least, because onnxruntime lays out fewer in another way than those of the real networks.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "deep", partial(deep, channels=(16,) * 5))
        patch.setitem(ARCHITECTURES, "compact", partial(compact, width=1 / 4))
        yield
