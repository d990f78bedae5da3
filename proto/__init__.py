"""The wire: the forge's gRPC service, and the codecs between messages and core's words."""
