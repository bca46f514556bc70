/* tests/host/transport_suite.h: what host/transport/transport.h promises, against any implementation of it. */
#ifndef MSUB_TESTS_TRANSPORT_SUITE_H
#define MSUB_TESTS_TRANSPORT_SUITE_H
#include "host/transport/transport.h"

/* A main(): runs the case that is named, or all. */
int transport_suite(const msub_transport_ops *ops, int argc, char **argv);
#endif
