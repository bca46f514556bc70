/* host/peers.h: who is connected: one object per authenticated peer id, from its first connection to the end
 * of its last.
 *
 *   peer ── conns (oldest … newest) ── what identify said ── sess[n_groups]
 */
#ifndef MSUB_HOST_PEERS_H
#define MSUB_HOST_PEERS_H
#include "host/conn.h"
#include "host/session.h"
#include "wire/identify.h"

struct msub__peer {
  msub_host *host;
  msub_peer_id id;
  uint64_t hash;
  uint32_t index; /* in host->peers */
  msub__node conns;
  unsigned n_conns;
  msub__identify *known; /* NULL: identify has not answered */
  msub_bytes record;     /* its signed peer record, verified; in known */
  char *text; /* what identify said, escaped: agent and protocols, one after the other, each with its NUL */
  size_t text_n;
  const char **protocols; /* in text */
  size_t n_protocols;
  uint64_t push_at; /* when the bucket of pushes was last filled */
  unsigned pushes;  /* what is in it */
  msub__node exchange;   /* queues of streams (exchange_state.h) */
  size_t exchange_bytes; /* written to them and not sent yet */
  bool exchange_full;    /* one was refused because of all the others */
  struct msub__tag *tags; /* manager.h; NULL: none */
  unsigned n_tags;
  size_t n_sess;
  msub__sess sess[];
};

msub__peer *msub__peers_find(const msub_host *h, msub_bytes id);
/* The peer of this connection, made when it is new; the connection becomes its newest. NOMEM. */
MSUB_MUST int msub__peers_attach(msub_host *h, msub__conn *c, msub_bytes id);
/* The connection is gone, its streams have ended. Frees the peer with its last. Returns whether it was the
 * last. */
bool msub__peers_detach(msub__conn *c);
msub__conn *msub__peer_newest(const msub__peer *p); /* that has not failed, a spare one only if there is no other; NULL: none */
msub__conn *msub__peer_oldest(const msub__peer *p);
/* Ends all its connections. text: static. */
void msub__peer_close(msub__peer *p, int err, const char *text);
/* Takes over what identify said; both blocks are the peer's afterwards. */
void msub__peer_learn(msub__peer *p, msub__identify *known);
static inline msub_bytes msub__peer_bytes(const msub__peer *p) { return msub_peer_id_bytes(&p->id); }
void msub__peers_fini(msub_host *h);
#endif
