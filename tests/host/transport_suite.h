/* tests/host/transport_suite.h: what host/transport/transport.h promises, against any implementation of it. */
#ifndef MSUB_TESTS_TRANSPORT_SUITE_H
#define MSUB_TESTS_TRANSPORT_SUITE_H
#include "host/transport/transport.h"

/* A main(): runs the case that is named, or all. */
/* Over WebSocket: the cases whose both ends are the transport's. */
int transport_suite_ws(const msub_transport_ops *ops, int argc, char **argv);
int transport_suite(const msub_transport_ops *ops, int argc, char **argv);
#endif
