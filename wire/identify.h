/* wire/identify.h: /ipfs/id/1.0.0 and /ipfs/id/push/1.0.0: what a peer says about itself. Without I/O.
 * Source: libp2p identify specification r1; field 8 (signed peer record) as go, js and rust send it.
 *
 * A received answer is 1 … 10 length-prefixed protobuf messages until the end of the stream, merged as
 * protobuf merges: the last of a singular field, the sum of repeated ones. The reader collects them,
 * msub__identify_decode() makes one immutable block of what is kept:
 *
 *     ┌ msub__identify ┬ views of protocols ┬ views of addresses ┬ bytes that all views point to ┐
 */
#ifndef MSUB_WIRE_IDENTIFY_H
#define MSUB_WIRE_IDENTIFY_H
#include "base/buf.h"
#include "meshsub/crypto.h"
#include "wire/limits.h"

#define MSUB__IDENTIFY_ID "/ipfs/id/1.0.0"
#define MSUB__IDENTIFY_PUSH_ID "/ipfs/id/push/1.0.0"

/* Which fields a message had; a push leaves the others as they were. */
enum {
  MSUB__IDENTIFY_KEY = 1,
  MSUB__IDENTIFY_ADDRS = 2,
  MSUB__IDENTIFY_PROTOCOLS = 4,
  MSUB__IDENTIFY_OBSERVED = 8,
  MSUB__IDENTIFY_PROTOCOL_VERSION = 16,
  MSUB__IDENTIFY_AGENT = 32,
  MSUB__IDENTIFY_RECORD = 64
};
/* Nothing in here is proved: the key and the record are checked by msub__identify_key_ok and
 * msub__identify_record only. Strings are bytes as they came: escape before printing. */
typedef struct msub__identify {
  uint32_t present;
  msub_bytes key, observed, protocol_version, agent, record; /* versions cut to MSUB__IDENTIFY_VERSION_MAX */
  const msub_bytes *protocols; /* in the order sent, each once, at most MSUB__IDENTIFY_PROTOCOLS_MAX */
  size_t n_protocols;
  const msub_bytes *addrs; /* well formed ones, each once, at most MSUB__IDENTIFY_ADDRS_MAX */
  size_t n_addrs;
  size_t ignored; /* entries left out of the two lists */
  size_t block;   /* size of this block */
} msub__identify;

/* ---- reading ---- */

/* Collects the messages of one answer; zero-initialise with msub__identify_reader_init. Memory grows with
 * what came, not with what was announced. */
typedef struct msub__identify_reader {
  msub_mem mem;
  msub__buf merged;
  uint32_t left; /* bytes of the message under way that have not come */
  uint8_t messages;
  uint8_t prefix_n; /* bytes of an unfinished length prefix */
  uint8_t prefix[10];
} msub__identify_reader;
void msub__identify_reader_init(msub__identify_reader *r, const msub_mem *mem);
void msub__identify_reader_fini(msub__identify_reader *r);
/* Takes all of `in`. LIMIT: a message, their number or their sum is over its limit (reset the stream).
 * MALFORMED: bad length prefix. NOMEM: nothing taken. */
MSUB_MUST int msub__identify_reader_input(msub__identify_reader *r, msub_bytes in);
/* At the end of the stream. MALFORMED: it ended inside a message, before the first, or does not parse. The
 * reader is empty again. */
MSUB_MUST int msub__identify_reader_finish(msub__identify_reader *r, msub__identify **out);

/* One message, or several joined, without length prefix. MALFORMED; LIMIT: over MSUB__IDENTIFY_MERGED_MAX or
 * so many entries that the fixed working memory does not hold them; NOMEM. Free the block with
 * msub__identify_free. */
MSUB_MUST int msub__identify_decode(const msub_mem *mem, msub_bytes in, msub__identify **out);
/* What is known after a push: fields that `push` has come from it, the others from `old`. A new block; both
 * stay. `old` may be NULL. NOMEM. */
MSUB_MUST int msub__identify_merge(const msub_mem *mem, const msub__identify *old, const msub__identify *push,
                                   msub__identify **out);
void msub__identify_free(const msub_mem *mem, msub__identify *id); /* NULL is fine */

bool msub__identify_supports(const msub__identify *id, msub_bytes protocol);
/* Whether the key, if there is one, is the key of this peer. A key that is not must not be used for anything.
 */
bool msub__identify_key_ok(const msub__identify *id, msub_bytes peer_id);
/* The signed peer record, verified, of the very peer we are connected to (`peer_id`, proved by Noise); a
 * record of anybody else is MISMATCH and must be dropped. Views in `out` live as long as id. NOTFOUND: there
 * is none. MALFORMED, CRYPTO. */
MSUB_MUST int msub__identify_record(const msub__identify *id, msub_bytes peer_id, msub_peer_record *out);
/* The address under which the peer sees us, as a view; empty: none or malformed. An opinion of one peer,
 * nothing more. */
msub_bytes msub__identify_observed(const msub__identify *id);

/* ---- writing ---- */

/* What we say. Empty views and empty lists are left out. */
typedef struct msub__identify_own {
  msub_bytes key, observed, protocol_version, agent, record;
  const msub_bytes *protocols, *addrs;
  size_t n_protocols, n_addrs;
} msub__identify_own;
/* The message with its length prefix. Addresses that would make it longer than MSUB__IDENTIFY_OWN_MAX are
 * left out, the last first (a record holds them anyway). Returns its size (at most MSUB__IDENTIFY_OWN_MAX);
 * LIMIT: too long even without addresses, or cap too small; NOMEM. */
MSUB_MUST int msub__identify_encode(const msub_mem *mem, const msub__identify_own *own, uint8_t *out,
                                    size_t cap);
#endif
