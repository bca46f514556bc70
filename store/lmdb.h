/* store/lmdb.h: the table of keys in an LMDB environment: two named databases, "keys" and "meta", nothing nested, no duplicates.
 *
 * The owner's thread reads (one snapshot, begun by the first read and held until it is let go), the store's thread writes. A value stands
 * behind 8 bytes of XXH3-64 of it, seeded with the key's: LMDB 0.9 does not notice a flipped bit. */
#ifndef MSUB_STORE_LMDB_H
#define MSUB_STORE_LMDB_H
#include "store/os.h"
#include "store/versions.h"

typedef struct msub__table_opts {
  const char *dir; /* is there; data.mdb and lock.mdb are LMDB's */
  bool read_only;
  uint64_t map_bytes, max_bytes; /* how much of it is mapped at first; how far that may grow */
} msub__table_opts;

typedef struct msub__table msub__table;
/* MALFORMED, IO, LIMIT, NOMEM; `why` says it. */
int msub__table_open(const msub__table_opts *o, msub__table **out, char *why, size_t why_n);
void msub__table_close(msub__table *t);
/* Closes it, and opens it to be written, after a failure: first the file is read anew from the disk (`path`: data.mdb) and walked. When it fails, reads and
 * commits answer IO until it is called again. MALFORMED also when the newest transaction that was committed here is not there. Only while no other thread uses it. */
int msub__table_again(msub__table *t, const msub__os *os, const msub_mem *mem, const char *path, char *why, size_t why_n);

/* ---- the owner's ---- */

int msub__table_get(msub__table *t, msub_bytes key, msub_bytes *value); /* NOTFOUND, IO, MALFORMED: not what was put there; a view until the snapshot goes */
/* The first key not before this one (at most MSUB_STORE_KEY_MAX bytes), and the one behind the last answer. NOTFOUND, IO, MALFORMED (with its key; one can go on). */
int msub__table_seek(msub__table *t, msub_bytes from, msub_bytes *key, msub_bytes *value);
int msub__table_next(msub__table *t, msub_bytes *key, msub_bytes *value);
void msub__table_release(msub__table *t);
/* So many records of the log were durable at the last commit. The thread's, once there is one. */
uint64_t msub__table_log_durable(const msub__table *t);
/* Maps more. Only while the thread waits for it. false: there is no more. */
bool msub__table_grow(msub__table *t);
void msub__table_size(msub__table *t, uint64_t *used, uint64_t *entries);

/* ---- the thread's ---- */

typedef enum msub__commit { MSUB__COMMITTED, MSUB__MAP_FULL, MSUB__DISK_FULL, MSUB__COMMIT_FAILED } msub__commit;
/* The batches as one transaction, with how many records of the log are durable. Nothing of them is there when it fails. `why`: of 128 bytes. */
msub__commit msub__table_commit(msub__table *t, msub__version *const *batches, size_t n, uint64_t log_durable, char *why);
/* A copy without what is free, at the path, which must not be there. 0, or the error and why. */
int msub__table_copy(msub__table *t, const char *path, char *why, size_t why_n);

/* ---- without LMDB ---- */

/* Reads data.mdb page by page: all that can be reached from the newer root must be there, be what it says, and be there once; and nothing
 * of it be free. LMDB trusts its file: it may crash where one that passes this does not make it. MALFORMED, IO, NOMEM, and why. */
int msub__lmdb_check(const msub__os *os, const msub_mem *mem, const char *path, char *why, size_t why_n);
/* Whether the file is as long as its newer root says. false: it may still be whole, for what is free at the end is not always written. */
bool msub__lmdb_is_long_enough(const msub__os *os, const char *path);
#endif
