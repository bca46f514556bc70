/* tests/support/raw_peer.h: a peer that does exactly what a test says: TCP, Noise and yamux stand, the streams
 * are the test's. */
#ifndef MSUB_TESTS_RAW_PEER_H
#define MSUB_TESTS_RAW_PEER_H
#include "base/buf.h"
#include "host_node.h"
#include "wire/multistream.h"
#include "wire/noise.h"
#include "wire/yamux.h"

#define RAW_STREAMS 1024u

typedef struct raw_stream {
  msub__ystream *y; /* NULL: ended */
  msub__mss *mss;
  msub_bytes proposal;
  char protocol[64]; /* agreed on; "" before */
  msub__buf in;      /* bytes after the agreement */
  msub__buf out;
  bool inbound, fin, finish, refused;
  bool deaf; /* takes nothing */
  int why;   /* of its end */
} raw_stream;

typedef struct raw_peer {
  int fd;
  msub_key *key;
  msub__noise_kit *kit;
  msub__noise *noise;
  msub__yamux *yamux;
  msub__buf in, plain, out;
  bool closed, no_muxer;
  raw_stream s[RAW_STREAMS];
  unsigned n;
  /* Which ids the host may open to us; NULL ends. What is done when it opened one. */
  const char *accepts[4];
  void (*on_agreed)(struct raw_peer *p, raw_stream *s);
  unsigned opened; /* streams that the host opened with an id we accept, or refused */
} raw_peer;

/* Connects to the node and shakes hands while it turns. seed: of the identity. */
void raw_connect(raw_peer *p, node *to, uint8_t seed);
/* The same up to Noise, for somebody who has another muxer, which the node has not: no yamux; what comes stands in `plain`. */
void raw_connect_muxer(raw_peer *p, node *to, uint8_t seed, const char *muxer);
void raw_close(raw_peer *p);
/* A socket that is connected to the node, and nothing else. */
int raw_tcp(const node *to);
/* Whether the other side has ended it; what it had sent is thrown away. */
bool raw_tcp_ended(int fd);
/* Seals these bytes as they are. */
void raw_record(raw_peer *p, const void *plain, size_t n);
/* One round of both. */
void raw_turn(raw_peer *p, node *n);
bool raw_until(raw_peer *p, node *n, bool (*until)(raw_peer *p, node *n), unsigned ms);
void raw_for(raw_peer *p, node *n, unsigned ms);
/* Opens a stream: header and id, then the bytes at once when `early`. */
raw_stream *raw_open(raw_peer *p, const char *protocol);
void raw_write(raw_peer *p, raw_stream *s, const void *bytes, size_t n);
void raw_finish(raw_peer *p, raw_stream *s);
void raw_reset(raw_stream *s);
/* The last stream that the host opened with this id and that has not ended; NULL. */
raw_stream *raw_inbound(raw_peer *p, const char *protocol);
#endif
