"""gRPC's standard health service on an address of its own, for probes that have no kit."""

from __future__ import annotations

from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from medforge.aggregator.server.port_check import check_free
from medforge.errors import InvalidInput

_THREADS = 4


class HealthPort:
    """Answer Check and Watch of grpc.health.v1, and nothing else, unencrypted at HOST:PORT."""

    def __init__(self, health_service: health.HealthServicer, listen: str) -> None:
        """Listen; raises InvalidInput for an address that cannot be had."""
        check_free(listen, "--health")
        options = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 1 << 12))
        workers = futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="health")
        # who watches keeps a thread for as long as it likes; one is left for who asks once
        self._server = grpc.server(workers, options=options, maximum_concurrent_rpcs=_THREADS)
        health_pb2_grpc.add_HealthServicer_to_server(health_service, self._server)
        try:
            port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise InvalidInput(f"cannot listen on {listen}; choose another address with --health") from error
        self.address = f"{listen.rpartition(':')[0]}:{port}"
        self._server.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.stop(0).wait(2.0)
