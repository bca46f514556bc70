msub_fuzz(multiaddr SOURCES fuzz_multiaddr.c LIBS msub_foundation)
msub_fuzz(peer_record SOURCES fuzz_peer_record.c LIBS msub_foundation)
