/* tests/host/test_transport_split.c: epoll with NNG for WebSocket beside it, against the contract. usage: test_transport_split [CASE] */
#include "transport_suite.h"

int main(int argc, char **argv) { return transport_suite(&msub__transport_split, argc, argv); }
