/* meshsub/fetch.h (libmeshsub-lww): "/libp2p/fetch/0.0.1", both roles: a key goes out, its value comes back. On the exchange, so the same code
 * runs on a network and in virtual time.
 *
 *   msub_fetch_get(key) ──▶ one stream: request │ answer ──▶ done(OK, value)     the peer: lookup(key) of the longest prefix that is served
 *                                                         └▶ done(NOTFOUND …)
 *
 * One deadline covers a request from open to last byte. Keys are bytes, not text. Threads and re-entry: the exchange's thread. done and lookup may
 * call everything but msub_fetch_free().
 * Source: libp2p fetch specification (with identifiers as bytes, 2025), and what go-libp2p-pubsub-router and js-libp2p do. */
#ifndef MESHSUB_FETCH_H
#define MESHSUB_FETCH_H
#include "exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSUB_FETCH_PROTOCOL "/libp2p/fetch/0.0.1"
#define MSUB_FETCH_KEY_MAX 1024u              /* bytes of a key: longer ones are not asked for, and a request with one is reset */
#define MSUB_FETCH_VALUE_MAX (1024u * 1024)   /* of an answer; more is a MALFORMED one */
#define MSUB_FETCH_PREFIXES 16u
#define MSUB_FETCH_SERVE_NS UINT64_C(10000000000) /* from the opening of a peer's stream to its end */

typedef struct msub_fetch msub_fetch;
/* Serves the protocol, and asks. The exchange must outlive it. CLAIMED: somebody serves the protocol already; LIMIT, NOMEM. mem NULL: malloc. */
MSUB_API int msub_fetch_new(const msub_mem *mem, msub_exchange x, msub_fetch **out);
/* Requests under way end without a word, peers' streams are reset. What is left of it goes with the last of them, in a later turn, so mem and the exchange
 * have to be there until then. NULL is fine. */
MSUB_API void msub_fetch_free(msub_fetch *f);

/* What a peer may have of the keys that begin with `prefix` (copied; empty: all). OK: *value is a view that holds until lookup returns; NOTFOUND: answered
 * as such; any other error: the peer is told ERROR. Without any prefix that fits: NOTFOUND, as go answers (js: ERROR, after which a go peer goes on to
 * the next one, too). lookup NULL: no longer. INVAL: longer than a key; LIMIT: MSUB_FETCH_PREFIXES. */
typedef int (*msub_fetch_lookup)(void *ud, msub_bytes peer_id, msub_bytes key, msub_bytes *value);
MSUB_API int msub_fetch_serve(msub_fetch *f, msub_bytes prefix, msub_fetch_lookup lookup, void *ud);

/* Asks a connected peer. done is called once, never from inside: with OK and the value (a view for the call), or with NOTFOUND; REFUSED: the peer
 * answered ERROR; UNSUPPORTED: it does not speak the protocol; TIMEOUT; CLOSED: the stream or the connection ended; MALFORMED: no such answer. At once:
 * what the exchange's open() answers, INVAL: no key, or too long a one. token (may be NULL): to cancel it by. */
typedef void (*msub_fetch_done)(void *ud, int result, msub_bytes value);
MSUB_API int msub_fetch_get(msub_fetch *f, msub_bytes peer_id, msub_bytes key, uint64_t deadline_mono_ns, msub_fetch_done done, void *ud, msub_token *token);
MSUB_API void msub_fetch_cancel(msub_fetch *f, msub_token token); /* done is not called; of one that is over nothing happens */

/* How much one peer is answered: `burst` bytes at once, and then bytes_per_s, requests and answers together, as they go over the wire. Above it a request is answered
 * with ERROR, without a lookup. Of at most MSUB_FETCH_RATED peers it is known what they had; when there are more, the one that had the least of late is
 * forgotten. From the start: 16 MiB, 256 KiB/s, where a node that follows names asks for 300 of them at once, which is 3 MiB when all are as large as
 * records may be. burst 0: no limit. INVAL: a burst above 8 GiB, a rate of 0 or above 1 TiB/s. */
#define MSUB_FETCH_RATED 256u
MSUB_API int msub_fetch_limit(msub_fetch *f, uint64_t burst, uint64_t bytes_per_s);

typedef struct msub_fetch_counts {
  uint64_t asked, got, not_found, failed; /* our requests: all; by outcome. What is cancelled is none of the three */
  uint64_t served, served_not_found, served_errors, malformed; /* peers' requests: answered with a value, without, with ERROR; reset */
  uint64_t served_limited; /* with ERROR, because the peer had too much */
} msub_fetch_counts;
MSUB_API const msub_fetch_counts *msub_fetch_count(const msub_fetch *f); /* live */

#ifdef __cplusplus
}
#endif
#endif
