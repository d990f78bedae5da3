"""The wire: the forge's gRPC service, and the codecs between messages and core's words."""

import os

# gRPC's own lines on stderr name C++ files; what they report reaches the caller as a sentence. Set it to see them.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
