/* meshsub/store.h: what survives a restart: a table of keys and an append-only log, both asynchronous. The owner never waits for
 * a disk: submit() and sync() return at once, and the outcome comes in a later turn.
 *
 *   submit(batch, token) ──▶ reads see it at once ──▶ … ──▶ on_durable(token, OK or an error), in the order of submission
 *
 * Implementations: memory (below, this library) and disk (store_disk.h, libmeshsub-store). A store belongs to the thread of its owner.
 * Re-entry: on_durable may call everything but turn and free. */
#ifndef MESHSUB_STORE_H
#define MESHSUB_STORE_H
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSUB_STORE_KEY_MAX 511u                  /* bytes of a key: what LMDB takes */
#define MSUB_STORE_VALUE_MAX ((size_t)16 << 20)  /* bytes of a value, and of a record of the log */

/* One change of a batch. value {NULL, 0} with put == false: the key goes. */
typedef struct msub_store_op { bool put; msub_bytes key, value; } msub_store_op;

typedef struct msub_store_ops {
  uint32_t abi, size; /* MSUB_ABI, sizeof(msub_store_ops) */

  /* The value: a view, valid until the next call into the store. NOTFOUND, IO. */
  int (*get)(void *s, msub_bytes key, msub_bytes *value);
  /* Calls fn for the keys with this prefix in ascending byte order, until it answers false. fn must not call into the store. OK, IO. */
  int (*iterate)(void *s, msub_bytes prefix, bool (*fn)(void *ud, msub_bytes key, msub_bytes value), void *ud);
  /* A batch, all or nothing. Copied. LIMIT: key empty or too long, value too long, or too much is waiting: nothing happened. NOMEM.
   * STATE: a store that was opened to be read. */
  int (*submit)(void *s, const msub_store_op *ops, size_t n, msub_token token);

  /* The log: records with ascending offsets, the first one 0. append: copied, not durable yet. */
  int (*log_append)(void *s, msub_bytes record, uint64_t *offset); /* LIMIT, NOMEM, STATE */
  int (*log_sync)(void *s, msub_token token); /* on_durable(token) when everything appended before is durable. LIMIT, NOMEM, STATE */
  int (*log_read)(void *s, uint64_t offset, msub_bytes *record); /* a view; NOTFOUND: before the start, or not appended; IO */
  int (*log_iterate)(void *s, uint64_t from, bool (*fn)(void *ud, uint64_t offset, msub_bytes record), void *ud);
  /* Records before `first` may go. Durable at the next sync. INVAL: behind the end. STATE. */
  int (*log_truncate)(void *s, uint64_t first);
  void (*log_range)(void *s, uint64_t *first, uint64_t *next); /* next: what append will give */

  /* Who is told. One listener; set it before the first submit. */
  void (*listen)(void *s, void (*on_durable)(void *ud, msub_token token, int result), void *ud);
  /* Tells what became durable. The owner calls it in turns of its own, at the latest at next_deadline. */
  void (*turn)(void *s, const msub_now *now);
  uint64_t (*next_deadline)(const void *s); /* MSUB_NEVER: nothing waits; 0: now */
} msub_store_ops;
typedef struct msub_store { const msub_store_ops *ops; void *s; } msub_store;

/* ---- in memory ---- */

typedef struct msub_store_memory msub_store_memory;
typedef struct msub_store_memory_opts {
  uint32_t size;       /* set by msub_store_memory_opts_init */
  const msub_mem *mem; /* NULL: malloc */
  uint64_t delay_ns;   /* from submit to durable: 0, the next turn */
  size_t max_bytes;    /* keys, values and log, with what keeping them costs: 64 MiB, then LIMIT; keys can always be taken away */
  size_t max_waiting;  /* batches and syncs that are not durable yet: 1,024, then LIMIT */
} msub_store_memory_opts;
MSUB_API void msub_store_memory_opts_init(msub_store_memory_opts *o);
MSUB_API int msub_store_memory_new(const msub_store_memory_opts *o, const msub_now *now, msub_store_memory **out);
MSUB_API void msub_store_memory_free(msub_store_memory *m); /* what waits is not told */
MSUB_API msub_store msub_store_memory_store(msub_store_memory *m);
/* For tests and simulations. For what is submitted from now on: the delay; after `n` more batches and syncs (0: the next one) each
 * fails with `err` (a negative msub_err; 0: none fails): what it had shown to reads is undone, records stay for the next sync.
 * hang: as long as it is on nothing becomes durable and nothing is told. */
MSUB_API void msub_store_memory_delay(msub_store_memory *m, uint64_t delay_ns);
MSUB_API void msub_store_memory_fail(msub_store_memory *m, uint64_t n, int err);
MSUB_API void msub_store_memory_hang(msub_store_memory *m, bool on);
/* What would be there after a power cut now: a new store with only what was told as durable. */
MSUB_API int msub_store_memory_crashed(const msub_store_memory *m, msub_store_memory **out);

#ifdef __cplusplus
}
#endif
#endif
