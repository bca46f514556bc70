/* tests/host/test_transport_epoll.c: the transport over epoll against its contract. usage: test_transport_epoll [CASE] */
#include "transport_suite.h"

int main(int argc, char **argv) { return transport_suite(&msub__transport_epoll, argc, argv); }
