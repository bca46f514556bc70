/* tests/support/dns_server.h: a name server on loopback, UDP and TCP, on a thread of its own. What it writes it writes by hand, without
 * the code under test. */
#ifndef MSUB_TESTS_DNS_SERVER_H
#define MSUB_TESTS_DNS_SERVER_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* type 1, 28, 16, 5: value is an address, a text (repeated `times` times, which makes a long one), a name. rcode: that is the whole
 * answer. silent: there is none. */
typedef struct dns_row {
  const char *name;
  int type;
  const char *value;
  unsigned times, rcode;
  bool silent, truncated; /* truncated: over UDP the answer is empty and says so */
} dns_row;

typedef struct dns_server dns_server;
/* The rows are read while it runs; a name without a row has rcode 3. */
dns_server *dns_server_new(const dns_row *rows, size_t n);
void dns_server_free(dns_server *s);
const char *dns_server_address(const dns_server *s); /* "127.0.0.1:PORT" */
unsigned dns_server_asked(const dns_server *s);      /* questions so far */
void dns_server_rows(dns_server *s, const dns_row *rows, size_t n); /* from now on */
void dns_server_spoil(dns_server *s, int how); /* 0: nothing; 1: another id; 2: another question; 3: cut short; 4: a loop in the name; 5: noise first, then the answer */
#endif
