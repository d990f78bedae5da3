"""The gRPC server of a forge: the service, its interceptor and limits, and the process around them."""
