/* tests/host/test_transport.c: the transport over NNG against its contract. usage: test_transport [CASE] */
#include "transport_suite.h"

int main(int argc, char **argv) { return transport_suite(&msub__transport_nng, argc, argv); }
