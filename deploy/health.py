"""Ask the service in this container for its health, by the standard gRPC health protocol: exit 0 when it serves.

Usage: health.py HOST:PORT, the address the service listens on; loopback is asked when that is every interface.
"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def main() -> int:
    """Exit status: 0 serving, 1 anything else."""
    host, _, port = sys.argv[1].rpartition(":")
    if host in {"", "0.0.0.0", "[::]"}:  # noqa: S104 - recognised, not bound to
        host = "127.0.0.1"
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=4)
        except grpc.RpcError as error:
            sys.stderr.write(f"{host}:{port}: {error.code().name}\n")
            return 1
    return 0 if answer.status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main())
