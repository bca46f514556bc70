/* store/versions.h: what reads of a store see before it is durable: for each key the versions of the batches that wait.
 *
 *   key ── durable value ── versions of batches that wait, oldest first ──▶ reads see the last one
 *
 * Batches are settled in the order of their submission, so the versions of the front one are the oldest of their keys, and taking
 * them out leaves those of later batches as they are.
 *
 * Keys, values and the links `in_batch` of a batch that was shown do not change until it is settled: a thread of the store's may read
 * them meanwhile. */
#ifndef MSUB_STORE_VERSIONS_H
#define MSUB_STORE_VERSIONS_H
#include "base/mem.h"
#include "meshsub/store.h"
#include "store/tree.h"

typedef struct msub__entry msub__entry;

typedef struct msub__version {
  struct msub__version *newer;    /* of the same key */
  struct msub__version *in_batch; /* the next one of its batch */
  msub__entry *of;
  bool put; /* false: the key goes */
  size_t n;
  uint8_t bytes[];
} msub__version;

struct msub__entry {
  msub__tree_node node;
  msub__version *durable;       /* NULL: not there, or not kept here */
  msub__version *oldest, *last; /* that wait; NULL: none */
  size_t uses;                  /* versions that wait, or are about to */
  uint8_t key[];
};

typedef struct msub__versions {
  msub_mem mem;
  bool keep; /* what is durable stays here; otherwise it is somewhere else, and an entry goes with its last version */
  size_t bytes, max_bytes; /* of all, with what keeping them costs */
  msub__tree_node *keys;
} msub__versions;

/* Memory that counts. */
void *msub__versions_take(msub__versions *v, size_t n);
void msub__versions_give(msub__versions *v, void *p, size_t n);
bool msub__versions_fit(const msub__versions *v, size_t n);

msub__entry *msub__entry_of(const msub__tree_node *n);
msub__entry *msub__versions_find(const msub__versions *v, msub_bytes key);
/* What a read sees of it: the last version that waits, else the durable one; NULL: neither is here. */
const msub__version *msub__entry_shown(const msub__entry *e);

/* The batch as a list. LIMIT (a key, a value, the room; where values are kept, keys can be taken away without any), NOMEM. */
int msub__batch_new(msub__versions *v, const msub_store_op *ops, size_t n, msub__version **out);
void msub__batch_drop(msub__versions *v, msub__version *batch); /* that was not shown */
void msub__batch_show(msub__version *batch);
/* The batch of the front: its versions become the durable ones, or are gone as if they had never been. */
void msub__batch_settle(msub__versions *v, msub__version *batch, bool ok);

/* Nothing waits any more; what is kept goes. */
void msub__versions_fini(msub__versions *v);

/* The table of a store whose functions have the names of the members. */
#define MSUB__STORE_OPS                                                                                                                          \
  {                                                                                                                                              \
    .abi = MSUB_ABI, .size = sizeof(msub_store_ops), .get = get, .iterate = iterate, .submit = submit, .log_append = log_append,                 \
    .log_sync = log_sync, .log_read = log_read, .log_iterate = log_iterate, .log_truncate = log_truncate, .log_range = log_range,                \
    .listen = listen, .turn = turn, .next_deadline = next_deadline                                                                               \
  }
#endif
