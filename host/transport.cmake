# The threaded bottom of the host: transports, inbox, verification pool. Included by host/CMakeLists.txt and by the tests, which
# link it alone; paths are relative to host/.
set(MSUB_TRANSPORT_SOURCES transport/handoff.c transport/nng.c inbox.c pool.c)
set(MSUB_TRANSPORT_LIBS nng::nng Threads::Threads)
