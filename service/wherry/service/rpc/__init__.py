"""The gRPC face: translates and decides nothing."""
