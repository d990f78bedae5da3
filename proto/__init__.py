"""The wire: the forge's gRPC service, and the codecs between messages and core's words."""

import os

# gRPC's own lines on stderr name C++ files; what they report reaches the caller as a sentence. Set it to see them.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# gRPC's own resolver reads /etc/hosts and asks DNS; the system's also knows what else nsswitch.conf names
os.environ.setdefault("GRPC_DNS_RESOLVER", "native")
