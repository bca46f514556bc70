/* meshsub/rendezvous.h (libmeshsub-host): the libp2p rendezvous protocol, /rendezvous/1.0.0 (specification revision 3): peers of a topic meet through a
 * point that they all know.
 *
 *   the point      msub_rendezvous_point_opts po;  msub_rendezvous_point_opts_init(&po);
 *                  po.exchange = msub_host_exchange(host);  po.ip = msub_host_peer_ip;  po.ip_ud = host;
 *                  msub_rendezvous_point_new(&po, &point);
 *                  …  msub_host_free(host);  msub_rendezvous_point_free(point);
 *   the others     msub_rendezvous_opts ro;  msub_rendezvous_opts_init(&ro);
 *                  ro.points = ids;  ro.n_points = 1;
 *                  msub_rendezvous_new(&ro, &rv);
 *                  ho.discovery = msub_rendezvous_discovery(rv);  msub_host_new(&ho, &host, NULL);
 *                  msub_rendezvous_start(rv, msub_host_exchange(host), msub_host_peer_id(host), msub_host_record, host);
 *                  msub_host_keep(host, "/ip4/192.0.2.7/tcp/4001/p2p/12D3Koo…");       (the connection is the program's)
 *                  …  msub_host_turn(host, ns);  msub_rendezvous_turn(rv);             (after each turn; sleep until msub_rendezvous_next)
 *                  msub_host_free(host);  msub_rendezvous_free(rv);
 *
 * Namespaces: a topic is advertised and sought as "floodsub:" and its name, as go-libp2p-pubsub does with any discovery. Another prefix is an option; empty
 * is what programs on rust-libp2p commonly do, which choose the namespace themselves. A name of more than 255 bytes with its prefix is left alone, and counted.
 *
 * Registrations are made anew when half of the time that the point gave is over, and taken back when a topic is left and when the host stops in order
 * (msub_host_stop): then all at once, within the second that a host takes for its end. What is missed ends with its time. What is found is a signed peer record: one whose signature or key
 * does not fit is left out and counted; a point cannot invent peers, only withhold them or hand out old addresses.
 *
 * Both dialects of records are read. A point hands them out as they came: who reads one only, as programs on rust-libp2p do, cannot read an answer with another in it.
 *
 * Threads: the one of the exchange. Not to be called from a callback: turn and free. */
#ifndef MESHSUB_RENDEZVOUS_H
#define MESHSUB_RENDEZVOUS_H
#include "crypto.h"
#include "discovery.h"
#include "exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSUB_RENDEZVOUS_PROTOCOL "/rendezvous/1.0.0"

/* ---- who registers and asks ---- */

typedef struct msub_rendezvous msub_rendezvous;
typedef struct msub_rendezvous_opts {
  uint32_t size;             /* set by msub_rendezvous_opts_init */
  const msub_bytes *points;  /* peer ids, 1 … 8; copied. Each is told and asked all */
  size_t n_points;
  const char *prefix;        /* of namespaces: "floodsub:"; at most 64 bytes; copied */
  uint64_t ttl_s;            /* of a registration, as it is asked for: 7,200 (what rust-libp2p's points take at least); 1 … 259,200 */
  uint64_t find_ns;          /* between two questions to a point about a topic: 10 s; at least 1 ms */
  uint64_t retry_ns;         /* after a failure, or without a connection: 1 s; at least 1 ms */
  unsigned max_topics;       /* 256; 1 … 1,000: a point takes no more of one peer. Further ones are left alone, and counted */
  const msub_mem *mem;       /* NULL: malloc */
} msub_rendezvous_opts;
MSUB_API void msub_rendezvous_opts_init(msub_rendezvous_opts *o);

/* registered: registrations that a point took, repeated ones too. unregistered: taken back. refused: answers other than OK. asked: questions that were answered. found: peers handed on.
 * bad: records that do not verify, answers that are malformed or too long. failed: streams that ended without an answer, and what could not be taken back. left_out: topics: too many, too long
 * a name, or no memory. */
#define MSUB_RENDEZVOUS_COUNTS(X) X(registered) X(unregistered) X(refused) X(asked) X(found) X(bad) X(failed) X(left_out)
typedef struct msub_rendezvous_counts {
#define MSUB_X(name) uint64_t name;
  MSUB_RENDEZVOUS_COUNTS(MSUB_X)
#undef MSUB_X
} msub_rendezvous_counts;

/* INVAL: an option; NOMEM. */
MSUB_API int msub_rendezvous_new(const msub_rendezvous_opts *o, msub_rendezvous **out);
/* For msub_host_opts.discovery. Before start what it is told is remembered. */
MSUB_API msub_discovery msub_rendezvous_discovery(msub_rendezvous *r);
/* self: our peer id, which is not handed on when found; copied. record(ud, dialect, out, cap): writes our signed peer record and returns its length, 0: there is none
 * now (no address, say); it is tried again. Called in turn. Points on rust-libp2p read records of RFC 0003's dialect only, others may read the other one only: the
 * former is tried first, and the other one when a point refuses it or hangs up. STATE: was started; INVAL. */
MSUB_API int msub_rendezvous_start(msub_rendezvous *r, msub_exchange x, msub_bytes self,
                                   size_t (*record)(void *ud, msub_record_dialect dialect, uint8_t *out, size_t cap), void *ud);
/* Sends what is due. */
MSUB_API void msub_rendezvous_turn(msub_rendezvous *r);
/* Monotonic ns of the next turn that has something to do; MSUB_NEVER. */
MSUB_API uint64_t msub_rendezvous_next(const msub_rendezvous *r);
MSUB_API void msub_rendezvous_count(const msub_rendezvous *r, msub_rendezvous_counts *out);
/* STATE: a stream is open. NULL is fine. */
MSUB_API int msub_rendezvous_free(msub_rendezvous *r);

/* ---- the point ---- */

typedef struct msub_rendezvous_point msub_rendezvous_point;
typedef struct msub_rendezvous_point_opts {
  uint32_t size;              /* set by msub_rendezvous_point_opts_init */
  msub_exchange exchange;     /* Required */
  uint64_t epoch;             /* goes into cookies, so that those of an earlier life are refused: any number that is new each time. 0: the exchange's time */
  unsigned max_registrations; /* in all: 10,000; 1 … 1,000,000. Each holds a record of at most 4 KiB and a namespace of at most 255 bytes */
  unsigned max_per_peer;      /* 1,000, the specification's figure; 1 … max_registrations is what counts */
  unsigned max_found;         /* registrations in an answer: 100; 1 … 1,000 */
  uint64_t min_ttl_s, max_ttl_s, ttl_s; /* 60; 259,200 (72 h); of a registration that names none: 7,200 (2 h). min <= ttl <= max <= 31,536,000 */
  const msub_mem *mem;        /* NULL: malloc */
  /* How often somebody may register, taken or refused: peer_burst times at once and then once in peer_ns, by peer; and of one network (/24, /48 of
   * IPv6) net_burst and net_ns. 256, 1 s; 1,024, 250 ms; bursts 1 … 1,000,000, times at least 1 ms. */
  unsigned peer_burst, net_burst;
  uint64_t peer_ns, net_ns;
  /* The IP address of a connected peer (msub_host_peer_ip, ip_ud the host); returns 4, 16, or 0: it belongs to no network that is counted. NULL: none does. */
  size_t (*ip)(void *ip_ud, msub_bytes peer_id, uint8_t out[16]);
  void *ip_ud;
} msub_rendezvous_point_opts;
MSUB_API void msub_rendezvous_point_opts_init(msub_rendezvous_point_opts *o);

/* full: no memory too. malformed: streams reset: no message of the protocol, too long, or more than 16 of them. */
#define MSUB_RENDEZVOUS_POINT_COUNTS(X)                                                                                        \
  X(registered) X(unregistered) X(expired) X(discovers) X(refused_namespace) X(refused_record) X(refused_ttl) X(refused_cookie) \
  X(refused_peer_full) X(refused_full) X(refused_peer_rate) X(refused_net_rate) X(malformed)
typedef struct msub_rendezvous_point_counts {
  uint64_t registrations; /* now */
#define MSUB_X(name) uint64_t name;
  MSUB_RENDEZVOUS_POINT_COUNTS(MSUB_X)
#undef MSUB_X
} msub_rendezvous_point_counts;

/* Serves the protocol. A registration is the peer's own or refused: the record has to be signed by the key of the connection, with an address in it. It
 * stays when the connection ends, until its time is over. A question without a namespace is refused (E_INVALID_NAMESPACE): the whole list is nobody's. Cookies are made of numbers and
 * kept nowhere. Who registers too often is told E_UNAVAILABLE, before a signature is looked at. INVAL: an option; NOMEM; what serve() says. */
MSUB_API int msub_rendezvous_point_new(const msub_rendezvous_point_opts *o, msub_rendezvous_point **out);
MSUB_API void msub_rendezvous_point_count(msub_rendezvous_point *p, msub_rendezvous_point_counts *out);
/* After the end of the exchange (the host's). STATE: a stream is open. NULL is fine. */
MSUB_API int msub_rendezvous_point_free(msub_rendezvous_point *p);

#ifdef __cplusplus
}
#endif
#endif
