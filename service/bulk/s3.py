"""Buckets: the filesystem of ``s3://``, configured by the variables ``AWS_*`` alone, and the meaning of its errors;
files that may be in one.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import urlsplit

from pyarrow import NativeFile, OSFile, fs

from service.bulk.errors import StorageError
from service.settings import SettingsError

SCHEME = "s3://"
# Of the S3 client: with its growing pauses, about two minutes for a store that is restarted.
_ATTEMPTS = "10"
# A request without an answer for longer is repeated. The client's defaults, 1 and 3 s, are for a data centre.
_CONNECT_S, _SILENCE_S = 10.0, 60.0
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_AWS_ERROR = re.compile(r"AWS Error (\w+)")
_REJECTED = {
    "ACCESS_DENIED",
    "EXPIRED_TOKEN",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
}


class NoSuchBucket(StorageError):
    """The store has no bucket of this name."""


def is_s3(place: str) -> bool:
    """Whether a place is in a bucket."""
    return place.startswith(SCHEME)


def key_of(place: str) -> str:
    """``bucket/key`` of ``s3://bucket/key``, without a slash at its end."""
    return place.removeprefix(SCHEME).rstrip("/")


@cache
def filesystem() -> fs.S3FileSystem:
    """The filesystem of all buckets.

    Raises:
        SettingsError: no endpoint is set. Without one, the client would go to a public cloud.
    """
    endpoint = next((value for name in _ENDPOINTS if (value := os.environ.get(name))), None)
    url = urlsplit(endpoint or "")
    if url.scheme not in {"http", "https"} or not url.netloc:
        raise SettingsError(
            "s3:// needs the address of the store in AWS_ENDPOINT_URL, such as https://minio.local:9000"
        )
    # Otherwise the client requests credentials and a region from a public cloud's address, 169.254.169.254.
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    return fs.S3FileSystem(
        endpoint_override=url.netloc,
        scheme=url.scheme,
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        connect_timeout=_CONNECT_S,
        request_timeout=_SILENCE_S,
        # A small file is one PUT, when it is closed; an interrupted upload leaves no object.
        allow_delayed_open=True,
        background_writes=False,
        tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE"),
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=int(os.environ.get("AWS_MAX_ATTEMPTS") or _ATTEMPTS)),
    )


def open_place(place: str) -> NativeFile:
    """A file, local or in a bucket, open for reading at any place in it.

    Raises:
        OSError: it cannot be opened; FileNotFoundError: there is none.
        StorageError: the store rejects the request or fails.
    """
    if is_s3(place):
        with meaning(place):
            return filesystem().open_input_file(key_of(place))
    return OSFile(os.fsencode(place), "rb")


@contextmanager
def meaning(what: str) -> Iterator[None]:
    """Translate the errors raised in a context; FileNotFoundError is passed on.

    Args:
        what: the operation, for the message: "reading the list".

    Raises:
        NoSuchBucket: there is no such bucket.
        StorageError: the store refuses or fails.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        found = _AWS_ERROR.search(str(error))
        code = found[1] if found else ""
        if code == "NO_SUCH_BUCKET":
            raise NoSuchBucket(f"{what}: there is no such bucket") from None
        if code in _REJECTED or "HTTP status 403" in str(error):
            raise StorageError(f"{what}: the store rejects the credentials of AWS_ACCESS_KEY_ID") from None
        raise StorageError(f"{what}: the store fails{f' ({code})' if code else ''}") from None
