/* meshsub/author.h: who an own message is from, when it is not simply the node, and which number it has: another author for one publish, and
 * a counter of sequence numbers that outlives the process. How messages are signed is msub_engine_opts.sign (engine.h). */
#ifndef MESHSUB_AUTHOR_H
#define MESHSUB_AUTHOR_H
#include "engine.h"
#include "store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- another author for one publish ---- */

typedef struct msub_author {
  uint32_t size;        /* set by msub_author_init */
  msub_bytes id;        /* its peer id. Empty: the node's own, and then key_field and sign are left out too */
  msub_bytes key_field; /* its encoded public key, when the id does not hold it (RSA, ECDSA); else empty */
  /* Signs the pieces joined with the author's key: length or a negative error, as msub_world_ops.sign. msub_key_signer of crypto.h with the
   * msub_key as sign_ud. Required on a topic whose messages are signed. Called once, before the outcome is known. */
  int (*sign)(void *ud, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap);
  void *sign_ud;
  bool numbered;        /* seqno is the sequence number; else the engine's counter gives one */
  uint64_t seqno;       /* of this author never used before: the default id is author and number */
} msub_author;
MSUB_API void msub_author_init(msub_author *a);

/* msub_publish() (engine.h) in the name of another author, with a number of the caller's, or both. Ownership: bytes are copied; what sign_ud
 * points to must live until the call returns, from a callback until the outcome of the ticket is told.
 * A signed message is verified before it goes anywhere: CRYPTO when the key is not the author's. INVAL: an id that is none, no sign where
 * the topic is signed, anything at all where it is strictly anonymous; the size; else as msub_publish(). A message whose author is somebody else is not
 * protected from coming back: others may bring it, which is a duplicate. [deferred] */
MSUB_API int msub_publish_as(msub_engine *e, msub_topic t, msub_bytes data, const msub_author *a, const msub_now *now, msub_token *ticket);

/* ---- numbers that a restart does not repeat ---- */

/* Numbers are reserved in a store, a block at a time, before any of the block is given out; a process that is killed at any moment goes on
 * behind the last block that it may have used. They begin at the wall clock in nanoseconds when that is later.
 *
 *      reserved in the store: ───────────────┤ limit
 *      given out:             ──────┤ next        half of the block is gone: the next one is asked for
 *
 * One counter serves any number of engines of its thread; engines that share a key must share the counter. */
typedef struct msub_numbers msub_numbers;
typedef struct msub_numbers_opts {
  uint32_t size;       /* set by msub_numbers_opts_init */
  const msub_mem *mem; /* NULL: malloc */
  msub_store store;    /* outlives the counter. Required */
  msub_bytes key;      /* where the counter stands in it: 1 … 128 bytes, copied; "msub/seqno" */
  msub_token token;    /* of its submits: no other user of the store has it; "seqno" as bytes */
  uint32_t block;      /* numbers reserved at a time: 1,024; 2 … 2^24 */
} msub_numbers_opts;
MSUB_API void msub_numbers_opts_init(msub_numbers_opts *o);
/* Reads the store and submits the first block. INVAL; MALFORMED: what stands there is no counter; NOMEM, IO. */
MSUB_API int msub_numbers_new(const msub_numbers_opts *o, const msub_now *now, msub_numbers **out);
MSUB_API void msub_numbers_free(msub_numbers *c); /* NULL is fine */
/* For msub_signing_opts.next_seqno, with the counter as seqno_ud. LIMIT: the next block is not durable yet (the first one is not before the
 * store's next turn), or 2^64 is reached; try again later. */
MSUB_API int msub_numbers_next(void *counter, uint64_t *number);
/* To be called by the store's listener. true: the token was the counter's. A block that failed is submitted again by the next msub_numbers_next(). */
MSUB_API bool msub_numbers_durable(msub_numbers *c, msub_token token, int result);
/* Numbers that can be given out without the store. */
MSUB_API uint64_t msub_numbers_left(const msub_numbers *c);

#ifdef __cplusplus
}
#endif
#endif
