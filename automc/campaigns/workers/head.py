"""Asking the head of a Ray cluster who it is, before Ray is told to connect to it.

`ray.init` would try for half a minute and more, say why in pages, and where there is nobody end the process.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import grpc
import psutil
import ray
from ray._private import services
from ray._private.grpc_utils import init_grpc_channel  # with the token and the certificates that Ray would use
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
from ray.exceptions import AuthenticationError

from automc.errors import ConfigError, one_line

_messages: Any = gcs_service_pb2  # what protobuf generates has no types
_ALIVE = 0  # a node's state, GcsNodeInfo.ALIVE
_CONNECT = 3.0  # seconds until somebody has answered
_ANSWER = 3.0  # seconds that each of two answers may take
_TOKEN = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the token it was started with"


def check_head(address: str) -> str:
    """Finds out whether this process can connect to a cluster, within ten seconds.

    Args:
        address: ``host:port`` of its head, or ``auto`` for the one that runs on this machine.

    Returns:
        The head's ``host:port``.

    Raises:
        ConfigError: it cannot.
    """
    if address == "auto":
        try:
            address = services.canonicalize_bootstrap_address("auto") or ""
        except ConnectionError:
            raise ConfigError("ray_address: no Ray cluster runs on this machine; give host:port of its head") from None
    host, port = _parsed(address)
    if problem := unreachable(host, port, _CONNECT):
        raise ConfigError(f"ray_address: nobody answers at {address} ({problem}); is the head of the cluster running?")
    try:
        with init_grpc_channel(address) as channel:
            stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            version = stub.CheckAlive(_messages.CheckAliveRequest(), timeout=_ANSWER).ray_version
            if version != ray.__version__:
                raise ConfigError(
                    f"ray_address: the cluster at {address} runs Ray {version}, this process {ray.__version__}; "
                    "install the same version here and there"
                )
            nodes = stub.GetAllNodeInfo(_messages.GetAllNodeInfoRequest(), timeout=_ANSWER).node_info_list
    except AuthenticationError:
        raise ConfigError(f"ray_address: no token for the cluster at {address}; {_TOKEN}") from None
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            raise ConfigError(f"ray_address: the cluster at {address} refuses this token; {_TOKEN}") from None
        why = f"{error.code().name.lower()}: {error.details()}"
        raise ConfigError(
            f"ray_address: what answers at {address} is not the head of a Ray cluster ({one_line(ConfigError(why))})"
        ) from None
    there = {node.node_manager_address for node in nodes if node.state == _ALIVE}
    if not there & _own_addresses():
        raise ConfigError(
            f"ray_address: this machine is no node of the cluster at {address}; run `ray start --address={address}` "
            "here first, or hand the search in with `ray job submit`"
        )
    return address


def unreachable(host: str, port: int, seconds: float) -> str | None:
    """Returns why nobody can be reached there; None where somebody can."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _parsed(address: str) -> tuple[str, int]:
    if "://" in address:
        raise ConfigError(
            f"ray_address: {address} is for clients of another kind; on one of the cluster's nodes, give host:port of "
            "its head, from elsewhere hand the search in with `ray job submit`"
        )
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 2**16):
        raise ConfigError(f"ray_address: '{address}' is no host:port, such as 10.0.0.5:6379")
    return host.strip("[]"), int(port)


def _own_addresses() -> set[str]:
    found = {one.address.partition("%")[0] for many in psutil.net_if_addrs().values() for one in many}
    return {address for address in found if _is_ip(address)}


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
