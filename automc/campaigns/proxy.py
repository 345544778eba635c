"""Optuna's proxy in front of a storage: many processes, few connections to the database."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from optuna.storages._grpc.auto_generated import api_pb2_grpc
from optuna.storages._grpc.servicer import OptunaStorageProxyService

from automc import progress
from automc.campaigns.databases import PORT
from automc.campaigns.storage import Away, Storage
from automc.errors import ConfigError

_THREADS = 10


class _Plainly(grpc.ServerInterceptor):
    """Tells clients why the database behind failed; of itself gRPC says ``UNKNOWN``, and writes a traceback."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Wraps what answers a request."""
        handler = continuation(details)
        if handler is None:  # no method of Optuna's
            return None

        def answer(request: Any, context: Any) -> Any:
            try:
                with self._storage.errors():
                    return handler.unary_unary(request, context)
            except Away as error:
                context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            except ConfigError as error:
                context.abort(grpc.StatusCode.INTERNAL, str(error))

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


def serve_proxy(
    url: str, host: str = "127.0.0.1", port: int = PORT, ready: Callable[[int], None] = lambda port: None
) -> None:
    """Serves a storage to ``grpc://HOST:PORT`` until it is interrupted.

    Whoever reaches it may read, change and delete all campaigns: it has no authentication, and no encryption.

    Args:
        url: the storage, SQLite or PostgreSQL.
        host: an address of this machine, loopback or of a private network; or a name that is one.
        port: 0 for any that is free.
        ready: gets the port once it listens.

    Raises:
        ConfigError: the address is public, or taken; or the storage cannot be opened.
    """
    address = _private(host)
    if url.startswith("grpc:"):
        raise ConfigError(f"{url}: is a proxy already; name the database behind it: --storage")
    storage = Storage(url)
    server = grpc.server(ThreadPoolExecutor(_THREADS), interceptors=[_Plainly(storage)])
    api_pb2_grpc.add_StorageServiceServicer_to_server(OptunaStorageProxyService(storage.optuna), server)
    try:
        bound = server.add_insecure_port(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    except RuntimeError:
        bound = 0
    if not bound:
        storage.close()
        raise ConfigError(f"{host}:{port}: cannot be listened on; it is taken, or of another machine: --host, --port")
    server.start()
    try:
        progress.say(f"Serving {storage.url} at grpc://{host}:{bound}; Ctrl-C ends it")
        ready(bound)
        server.wait_for_termination()
    finally:
        server.stop(1.0).wait()
        storage.close()


def _private(host: str) -> str:
    """Returns the address that a host is; raises ConfigError where others than neighbours reach it."""
    try:
        found = [str(one[4][0]) for one in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise ConfigError(f"{host}: no address of this machine ({error.strerror}); choose another --host") from None
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        if address.is_unspecified or not (address.is_private or address.is_loopback):
            raise ConfigError(
                f"{host}: the proxy has no authentication, and listens on loopback or an address of a private network "
                "only; choose another --host"
            )
    return found[0]
