"""Many centres on one machine: real processes on loopback gRPC, a result and a report."""
