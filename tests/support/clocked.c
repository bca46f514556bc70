#include "host/book.h"
#include "clocked.h" /* last: its names are short */

node a, b;

const msub_host_counts *host(void) { return msub_host_count(a.host); }

void start(void) {
  a.opts.write_timeout_ns = AHEAD; /* a write may be under way when the time moves */
  node_start(&a, true, true);
  a.host->now.mono_ns = msub__mono() + AHEAD;
}

void begin(void) {
  node_init(&a, "a", 1);
  start();
}

void forward(uint64_t ns) {
  a.host->now.mono_ns += ns;
  CHECK(a.host->now.mono_ns > msub__mono());
  (void)msub_host_turn(a.host, 0);
}

size_t at_most(size_t n, size_t limit) { return n < limit ? n : limit; }

msub__tr_addr loopback(unsigned host_part, unsigned port) {
  return (msub__tr_addr){ .n = 4, .port = (uint16_t)port, .ip = { 127, 0, 0, (uint8_t)host_part } };
}

int silent(msub__tr_addr *at) {
  uint16_t port;
  int fd = node_silent_place(&port);
  *at = loopback(1, port);
  return fd;
}

msub_bytes id_of(const node *n) { return msub_key_peer_id(n->key); }
msub__tr_addr place_of(const node *n) { return n->host->listeners[0].at; }
void known(const node *of, const msub__tr_addr *at, bool proved) { msub__book_add(a.host, id_of(of), at, proved ? MSUB__BOOK_PROVED : MSUB__BOOK_SAID, NULL); }
