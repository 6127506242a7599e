"""Benchmarks: Tapeline beside its peers, on this machine, on topics of their own."""
