/* tests/host/test_transport_ws.c: the transport that carries WebSocket against the contract. usage: test_transport_ws [CASE] */
#include "transport_suite.h"

int main(int argc, char **argv) { return transport_suite_ws(&msub__transport_nng, argc, argv); }
