/* host/transport/transport.h: what carries the host's bytes. One vtable, implemented by NNG streams (nng.c) and, on
 * Linux, by epoll (epoll.c); the host sees no type of either.
 *
 * Calls are made on the loop's thread. A transport does its work on threads of its own or inside next(), and reports by events
 * that the loop fetches; it never calls into the host except `wake`, which may come from any thread. One that starts no thread
 * has a descriptor instead (fd), and never calls `wake`.
 *
 * Guarantees (the contract suite, tests/host/):
 *   - events of one connection are ordered; bytes arrive in order, none lost, none twice
 *   - exactly one CLOSED per connection that was ACCEPTED or CONNECTED, and nothing after it; also after a local close()
 *   - a dial ends in exactly one of CONNECTED, DIAL_FAILED; cancelled by close(): DIAL_FAILED
 *   - at most one send is unacknowledged per connection; send() while one is: MSUB_ERR_STATE. SENT says that all n bytes went out
 *   - bytes are read only while the connection has credit: at most one READABLE per recv() call
 *   - no call blocks; closing a connection does not wait for its peer
 *   - running out of descriptors pauses accepting and resumes by itself; connections that live are not touched
 *
 *      listen ──▶ ACCEPTED ┐                          ┌─ recv ──▶ READABLE ─┐
 *      dial ────▶ CONNECTED┴──▶ open ───────▶ any of  ├─ send ──▶ SENT ─────┤──▶ CLOSED (once)
 *             └─▶ DIAL_FAILED                         └─ close ─────────────┘
 */
#ifndef MSUB_HOST_TRANSPORT_H
#define MSUB_HOST_TRANSPORT_H
#include "meshsub/log.h"
#include <string.h>

#define MSUB__TRANSPORT_IOV 8 /* pieces of one send */
#define MSUB__TRANSPORT_SEND ((size_t)4 << 20) /* bytes of one send at most */
#define MSUB__TRANSPORT_READ 65536 /* bytes of one READABLE at most */

typedef enum msub__tr_kind { MSUB__TR_ACCEPTED, MSUB__TR_CONNECTED, MSUB__TR_DIAL_FAILED, MSUB__TR_READABLE, MSUB__TR_SENT,
  MSUB__TR_CLOSED, MSUB__TR_ACCEPT_PAUSED } msub__tr_kind;
/* n: 4, 16, or 0: not known. ws: the bytes go as WebSocket messages (RFC 6455), without TLS; whole frames mean nothing, only the bytes in
 * them. A transport that has no WebSocket answers UNSUPPORTED. */
typedef struct msub__tr_addr { uint8_t n; bool ws; uint8_t ip[16]; uint16_t port; } msub__tr_addr;
static inline bool msub__tr_addr_same(const msub__tr_addr *a, const msub__tr_addr *b) {
  return a->n == b->n && a->ws == b->ws && a->port == b->port && memcmp(a->ip, b->ip, a->n) == 0;
}
/* conn, listener: small numbers of the transport, never 0, not reused before CLOSED was fetched. */
typedef struct msub__tr_event {
  msub__tr_kind kind;
  uint32_t conn;      /* ACCEPTED … CLOSED */
  uint32_t listener;  /* ACCEPTED, ACCEPT_PAUSED */
  uint64_t cookie;    /* CONNECTED, DIAL_FAILED: of the dial */
  uint8_t *data;      /* READABLE: valid, and the caller's to change in place, until the next recv() or close() of this connection */
  size_t n;           /* READABLE, SENT */
  int err;            /* DIAL_FAILED, CLOSED: MSUB_ERR_CLOSED (the peer), IO, TIMEOUT, REFUSED, OK (we) */
  const char *text;   /* static text of err */
  msub__tr_addr local, remote; /* ACCEPTED, CONNECTED */
} msub__tr_event;

typedef struct msub_transport_ops {
  uint32_t abi, size;
  const char *name; /* "nng", "epoll" */
  /* wake(wake_ud): there are events to fetch; any thread; only when the queue was empty before. */
  int (*init)(void **self, const msub_mem *mem, void (*wake)(void *ud), void *wake_ud, const msub_log *log);
  void (*fini)(void *self); /* closes everything, joins what it started; no event follows */
  /* Listens on ip (n 4 or 16) and port (0: any); *listener and the real port. REFUSED: in use; IO. *why: static text. */
  int (*listen)(void *self, const msub__tr_addr *at, uint32_t *listener, uint16_t *port, const char **why);
  void (*unlisten)(void *self, uint32_t listener);
  int (*dial)(void *self, const msub__tr_addr *to, uint64_t cookie, uint32_t *conn); /* LIMIT, NOMEM, UNSUPPORTED */
  /* Pieces of at most 4 MiB in all; they stay as they are until SENT or CLOSED. STATE, STALE. */
  int (*send)(void *self, uint32_t conn, const msub_bytes *iov, size_t n);
  int (*recv)(void *self, uint32_t conn);  /* credit for one READABLE; STATE when one is outstanding, STALE */
  void (*close)(void *self, uint32_t conn);/* CLOSED follows; twice is fine */
  /* Fetches one event; false: none. `now_mono_ns` drives the pauses (accept back-off). */
  bool (*next)(void *self, uint64_t now_mono_ns, msub__tr_event *out);
  uint64_t (*next_deadline)(void *self);
  /* NULL, or called once after init: a level-triggered descriptor that is readable when there may be events, or when wake_fd is, which
   * the caller reads and keeps open until fini. The transport owns it. -1: out of descriptors. */
  int (*fd)(void *self, int wake_fd);
} msub_transport_ops;

extern const msub_transport_ops msub__transport_nng;
#ifdef __linux__
extern const msub_transport_ops msub__transport_epoll;
extern const msub_transport_ops msub__transport_split; /* epoll, and NNG for WebSocket */
#endif
#endif
