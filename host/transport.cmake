# The threaded bottom of the host: transports, inbox, verification pool. Included by host/CMakeLists.txt and by the tests, which
# link it alone; paths are relative to host/.
set(MSUB_TRANSPORT_SOURCES transport/accept_pause.c transport/handoff.c transport/nng.c transport/read_buf.c transport/slots.c inbox.c pool.c)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  list(APPEND MSUB_TRANSPORT_SOURCES transport/epoll.c transport/split.c)
endif()
set(MSUB_TRANSPORT_LIBS nng::nng Threads::Threads)
