/* store/disk.c: the store on disk.
 *
 *   owner    submit, sync ─▶ job ─▶ todo ┐                              ┌▶ turn: settle, on_durable
 *   thread                               └▶ a group: log, then table ─▶ done
 *
 * What a job refers to (versions.h, log.h) is the owner's and does not change while the job is under way, so the lock guards the two
 * lists only. Reads look at the versions that wait first, then into the table: a batch leaves the versions when it is told, and
 * is in the table by then.
 *
 * The one place below host/ with a thread and files: a disk lets whoever calls it wait, and the owner never does.
 *
 * When the table's map is full the thread asks for more and waits: only the owner can move the map, because it holds views of it. */
#define _POSIX_C_SOURCE 200809L
#include "store/disk.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/deadline.h"
#include "store/folder.h"
#include "store/lmdb.h"
#include "store/log.h"

#define GROUP 256u                         /* jobs of a transaction */
#define GROUP_BYTES ((size_t)16 << 20)     /* and their bytes, when there are several */
#define POLL_NS UINT64_C(1000000)          /* how often to look, when nobody watches the descriptor */
#define ROOM_LOW (INT64_C(1) << 20)        /* less is a full disk: LMDB reports the write that did not fit as an input/output error */
#define SEGMENT_MIN 4096u
#define SEGMENT_MAX (UINT32_C(1) << 30)
#define MAP_MIN (UINT64_C(64) << 10)
#define FAILURE 128u /* bytes of what failed */

typedef struct job {
  struct job *next;
  msub_token token;
  bool sync;
  int result;
  size_t bytes;
  msub__version *batch;
  msub__log_job log;
} job;

typedef struct jobs {
  job *first, **end;
} jobs;

struct msub_store_disk {
  msub__versions v; /* keys that wait, and the allocator */
  msub_store_disk_opts o;
  const msub__os *os;
  char *dir;
  msub__folder folder;
  msub__table *table;
  msub__log *log;
  /* the owner's */
  void (*listener)(void *ud, msub_token token, int result);
  void *listener_ud;
  size_t waiting;
  bool in_turn, watched;
  uint64_t last_turn;
  msub_store_disk_counts count;
  char why[MSUB_STORE_WHY];
  /* both */
  pthread_t thread;
  bool has_thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  jobs todo, done;
  bool closing, abandoned, held, finished, grown, signalled;
  char failure[FAILURE];  /* of the last job that failed */
  uint64_t commits;
  atomic_bool ready, wants_more, broken; /* broken: the thread's, and the owner's while nothing waits */
  int pipe[2];
  /* the thread's */
  uint64_t log_durable;
  char trouble[FAILURE];
};

static void put_job(jobs *l, job *j) {
  j->next = NULL;
  *l->end = j;
  l->end = &j->next;
}

static jobs no_jobs(jobs *l) {
  jobs had = *l;
  l->first = NULL;
  l->end = &l->first;
  return had;
}

/* ---- the thread ---- */

/* The lock is held. */
static void signal_owner(msub_store_disk *d) {
  atomic_store(&d->ready, true);
  if (!d->signalled) d->signalled = write(d->pipe[1], "", 1) == 1;
  (void)pthread_cond_broadcast(&d->changed);
}

/* false: there is no more. */
static bool ask_for_more(msub_store_disk *d) {
  (void)pthread_mutex_lock(&d->lock);
  d->grown = false;
  atomic_store(&d->wants_more, true);
  signal_owner(d);
  while (atomic_load(&d->wants_more) && !d->abandoned) (void)pthread_cond_wait(&d->changed, &d->lock);
  bool grown = d->grown;
  (void)pthread_mutex_unlock(&d->lock);
  return grown;
}

static msub__commit commit(msub_store_disk *d, msub__version *const *batches, size_t n) {
  for (;;) {
    msub__commit r = msub__table_commit(d->table, batches, n, d->log_durable, d->trouble);
    if (r == MSUB__COMMITTED) {
      (void)pthread_mutex_lock(&d->lock);
      d->commits++;
      (void)pthread_mutex_unlock(&d->lock);
    }
    if (r == MSUB__COMMIT_FAILED) {
      int64_t room = d->os->free_bytes(d->os->ud, d->dir);
      if (room >= 0 && room < ROOM_LOW) r = MSUB__DISK_FULL;
      else d->broken = true;
    }
    if (r != MSUB__MAP_FULL || !ask_for_more(d)) return r;
  }
}

static int result_of(msub__commit r) { return r == MSUB__COMMITTED ? MSUB_OK : r == MSUB__COMMIT_FAILED ? MSUB_ERR_IO : MSUB_ERR_LIMIT; }

/* Together if they can be; where there is no room for all there may be some for one. */
static void commit_batches(msub_store_disk *d, job *const *group, size_t n) {
  msub__version *batches[GROUP];
  size_t k = 0;
  for (size_t i = 0; i < n; i++)
    if (!group[i]->sync) batches[k++] = group[i]->batch;
  if (k == 0) return;
  msub__commit r = commit(d, batches, k);
  bool alone = k > 1 && (r == MSUB__MAP_FULL || r == MSUB__DISK_FULL);
  for (size_t i = 0; i < n; i++) {
    if (group[i]->sync) continue;
    if (alone && !d->broken) r = commit(d, &group[i]->batch, 1);
    group[i]->result = d->broken && r != MSUB__COMMITTED ? MSUB_ERR_IO : result_of(r);
  }
}

/* The log's part of a group comes first: what batches refer to is there before they are. Answers how many jobs may go on. */
static size_t write_log(msub_store_disk *d, job *const *group, size_t n) {
  size_t first = n;
  bool failed_sync;
  for (size_t i = n; i > 0; i--)
    if (group[i - 1]->sync) first = i - 1;
  if (first == n) return n;
  for (size_t i = first; i < n; i++)
    if (group[i]->sync) msub__log_take(d->log, &group[i]->log);
  int err = msub__log_flush(d->log, &failed_sync);
  if (err < 0) {
    (void)snprintf(d->trouble, FAILURE, "the log: %s", strerror(-err));
    int result = msub__os_err(err);
    if (failed_sync || result != MSUB_ERR_LIMIT) {
      d->broken = true;
      result = MSUB_ERR_IO;
    }
    for (size_t i = first; i < n; i++) group[i]->result = result;
    return first;
  }
  for (size_t i = first; i < n; i++) {
    if (!group[i]->sync) continue;
    d->log_durable = group[i]->log.next;
    msub__log_remove(d->log, &group[i]->log);
  }
  return n;
}

static void do_group(msub_store_disk *d, job *const *group, size_t n) {
  size_t good = d->broken ? 0 : write_log(d, group, n);
  if (!d->broken) {
    commit_batches(d, group, good);
    return;
  }
  if (!d->trouble[0]) (void)snprintf(d->trouble, FAILURE, "an earlier failure");
  for (size_t i = 0; i < n; i++) group[i]->result = MSUB_ERR_IO;
}

/* The lock is held. The front jobs of `todo`, as many as one transaction is to have. */
static size_t take_group(msub_store_disk *d, job *group[GROUP]) {
  size_t n = 0, bytes = 0;
  for (job *j = d->todo.first; j && n < GROUP && (n == 0 || bytes + j->bytes <= GROUP_BYTES); j = j->next) {
    bytes += j->bytes;
    group[n++] = j;
  }
  if (n) d->todo.first = group[n - 1]->next;
  if (!d->todo.first) d->todo.end = &d->todo.first;
  return n;
}

static void *thread_main(void *ud) {
  msub_store_disk *d = ud;
  job *group[GROUP];
  (void)pthread_mutex_lock(&d->lock);
  while (!d->abandoned && (d->todo.first || !d->closing)) {
    size_t n = d->held ? 0 : take_group(d, group);
    if (n == 0) {
      (void)pthread_cond_wait(&d->changed, &d->lock);
      continue;
    }
    (void)pthread_mutex_unlock(&d->lock);
    d->trouble[0] = '\0';
    do_group(d, group, n);
    (void)pthread_mutex_lock(&d->lock);
    if (d->trouble[0]) memcpy(d->failure, d->trouble, FAILURE);
    for (size_t i = 0; i < n; i++) put_job(&d->done, group[i]);
    signal_owner(d);
  }
  bool last = !d->abandoned && !d->broken;
  (void)pthread_mutex_unlock(&d->lock);
  if (last && d->log_durable != msub__table_log_durable(d->table)) (void)commit(d, NULL, 0); /* so that a log that was cut short is noticed */
  (void)pthread_mutex_lock(&d->lock);
  d->finished = true;
  (void)pthread_cond_broadcast(&d->changed);
  (void)pthread_mutex_unlock(&d->lock);
  return NULL;
}

/* ---- the owner: entering ---- */

static void give_more(msub_store_disk *d) {
  bool grown = msub__table_grow(d->table);
  d->count.grown += grown;
  (void)pthread_mutex_lock(&d->lock);
  d->grown = grown;
  atomic_store(&d->wants_more, false);
  (void)pthread_cond_broadcast(&d->changed);
  (void)pthread_mutex_unlock(&d->lock);
}

/* At the beginning of each call: views of the one before end here. */
static msub_store_disk *enter(void *s) {
  msub_store_disk *d = s;
  msub__table_release(d->table);
  if (atomic_load(&d->wants_more)) give_more(d);
  return d;
}

static int too_much(msub_store_disk *d) {
  d->count.refused++;
  return MSUB_ERR_LIMIT;
}

/* ---- keys ---- */

static int get(void *s, msub_bytes key, msub_bytes *value) {
  msub_store_disk *d = enter(s);
  const msub__entry *e = msub__versions_find(&d->v, key);
  const msub__version *x = e ? msub__entry_shown(e) : NULL;
  if (x) {
    if (!x->put) return MSUB_ERR_NOTFOUND;
    *value = (msub_bytes){ x->bytes, x->n };
    return MSUB_OK;
  }
  int err = msub__table_get(d->table, key, value);
  if (err == MSUB_OK || err == MSUB_ERR_NOTFOUND) return err;
  d->count.damaged++;
  return MSUB_ERR_IO;
}

static bool begins_with(msub_bytes key, msub_bytes prefix) {
  return key.n >= prefix.n && (prefix.n == 0 || memcmp(key.p, prefix.p, prefix.n) == 0);
}

/* Two sorted sequences, the versions in front of the table where both have a key. A value that is damaged is left out, and told at the end. */
static int iterate(void *s, msub_bytes prefix, bool (*fn)(void *ud, msub_bytes key, msub_bytes value), void *ud) {
  msub_store_disk *d = enter(s);
  msub_bytes key = { NULL, 0 }, value = { NULL, 0 };
  if (prefix.n > MSUB_STORE_KEY_MAX) return MSUB_OK;
  int at = msub__table_seek(d->table, prefix, &key, &value), result = MSUB_OK;
  const msub__tree_node *node = msub__tree_from(d->v.keys, prefix, false);
  for (;;) {
    bool has = (at == MSUB_OK || at == MSUB_ERR_MALFORMED) && begins_with(key, prefix);
    if (at == MSUB_ERR_IO) result = at;
    if (node && !begins_with(node->key, prefix)) node = NULL;
    if (!has && !node) break;
    int order = !has ? 1 : !node ? -1 : msub__tree_order(key, node->key);
    bool on = true;
    if (order < 0) {
      if (at == MSUB_OK) {
        on = fn(ud, key, value);
      } else {
        d->count.damaged++;
        result = MSUB_ERR_IO;
      }
    } else {
      const msub__version *x = msub__entry_shown(msub__entry_of(node));
      if (x && x->put) on = fn(ud, node->key, (msub_bytes){ x->bytes, x->n });
      node = msub__tree_from(d->v.keys, node->key, true);
    }
    if (!on) break;
    if (order <= 0) at = msub__table_next(d->table, &key, &value);
  }
  msub__table_release(d->table);
  return result;
}

/* ---- jobs ---- */

static size_t bytes_waiting(const msub_store_disk *d) { return d->v.bytes + msub__log_waiting(d->log); }

static void start(msub_store_disk *d, job *j) {
  d->waiting++;
  (void)pthread_mutex_lock(&d->lock);
  put_job(&d->todo, j);
  (void)pthread_cond_broadcast(&d->changed);
  (void)pthread_mutex_unlock(&d->lock);
}

static int new_job(msub_store_disk *d, msub_token token, job **out) {
  if (d->waiting >= d->o.max_waiting) return too_much(d);
  job *j = msub__zalloc(&d->v.mem, 1, sizeof *j);
  if (!j) return MSUB_ERR_NOMEM;
  j->token = token;
  *out = j;
  return MSUB_OK;
}

static int submit(void *s, const msub_store_op *ops, size_t n, msub_token token) {
  msub_store_disk *d = enter(s);
  job *j;
  if (d->o.read_only) return MSUB_ERR_STATE;
  int err = new_job(d, token, &j);
  if (err != MSUB_OK) return err;
  size_t before = d->v.bytes, logged = msub__log_waiting(d->log);
  d->v.max_bytes = d->o.max_waiting_bytes > logged ? d->o.max_waiting_bytes - logged : 0;
  err = msub__batch_new(&d->v, ops, n, &j->batch);
  if (err != MSUB_OK) {
    msub__free(&d->v.mem, j, sizeof *j);
    return err == MSUB_ERR_LIMIT ? too_much(d) : err;
  }
  j->bytes = d->v.bytes - before;
  msub__batch_show(j->batch);
  start(d, j);
  return MSUB_OK;
}

/* ---- the log ---- */

static int log_append(void *s, msub_bytes record, uint64_t *offset) {
  msub_store_disk *d = enter(s);
  if (d->o.read_only) return MSUB_ERR_STATE;
  if (record.n > MSUB_STORE_VALUE_MAX) return MSUB_ERR_LIMIT;
  size_t had = bytes_waiting(d);
  if (had > d->o.max_waiting_bytes || record.n + MSUB__LOG_ITEM > d->o.max_waiting_bytes - had) return too_much(d);
  return msub__log_append(d->log, record, offset);
}

static int log_sync(void *s, msub_token token) {
  msub_store_disk *d = enter(s);
  job *j;
  if (d->o.read_only) return MSUB_ERR_STATE;
  int err = new_job(d, token, &j);
  if (err != MSUB_OK) return err;
  err = msub__log_seal(d->log, &j->log);
  if (err != MSUB_OK) {
    msub__free(&d->v.mem, j, sizeof *j);
    return err;
  }
  j->sync = true;
  start(d, j);
  return MSUB_OK;
}

static int log_read(void *s, uint64_t offset, msub_bytes *record) {
  msub_store_disk *d = enter(s);
  int err = msub__log_read(d->log, offset, record);
  d->count.damaged += err == MSUB_ERR_IO;
  return err;
}

static int log_iterate(void *s, uint64_t from, bool (*fn)(void *ud, uint64_t offset, msub_bytes record), void *ud) {
  msub_store_disk *d = enter(s);
  uint64_t first, next;
  int result = MSUB_OK;
  msub__log_range(d->log, &first, &next);
  for (uint64_t at = from > first ? from : first; at < next; at++) {
    msub_bytes record;
    int err = msub__log_read(d->log, at, &record);
    if (err == MSUB_OK) {
      if (!fn(ud, at, record)) break;
    } else {
      d->count.damaged += err == MSUB_ERR_IO;
      result = err;
    }
  }
  return result;
}

static int log_truncate(void *s, uint64_t first) {
  msub_store_disk *d = enter(s);
  return d->o.read_only ? MSUB_ERR_STATE : msub__log_truncate(d->log, first);
}

static void log_range(void *s, uint64_t *first, uint64_t *next) { msub__log_range(enter(s)->log, first, next); }

/* ---- turns ---- */

static void listen(void *s, void (*on_durable)(void *ud, msub_token token, int result), void *ud) {
  msub_store_disk *d = enter(s);
  d->listener = on_durable;
  d->listener_ud = ud;
}

static void settle(msub_store_disk *d, job *j) {
  bool ok = j->result == MSUB_OK;
  if (j->sync)
    msub__log_settle(d->log, &j->log, ok);
  else
    msub__batch_settle(&d->v, j->batch, ok);
  d->count.failed += !ok;
  *(j->sync ? &d->count.syncs : &d->count.batches) += ok;
  d->waiting--;
  msub__free(&d->v.mem, j, sizeof *j);
}

static void explain(msub_store_disk *d, int result, const char *failure) {
  const char *next = result == MSUB_ERR_LIMIT ? "make room; what was stored is intact, and what comes when there is room will be"
                                              : "nothing is written any more; look after the disk, then try again: what was told as durable is there";
  (void)snprintf(d->why, sizeof d->why, "%s: %s: %s", d->dir, failure, next);
}

static jobs take_done(msub_store_disk *d, char failure[FAILURE]) {
  char bytes[64];
  (void)pthread_mutex_lock(&d->lock);
  jobs had = no_jobs(&d->done);
  memcpy(failure, d->failure, FAILURE);
  d->count.commits = d->commits;
  if (d->signalled) {
    while (read(d->pipe[0], bytes, sizeof bytes) > 0) {}
    d->signalled = false;
  }
  atomic_store(&d->ready, false);
  (void)pthread_mutex_unlock(&d->lock);
  return had;
}

static void turn(void *s, const msub_now *now) {
  msub_store_disk *d = s;
  char failure[FAILURE];
  if (d->in_turn) return;
  (void)enter(d);
  d->in_turn = true;
  d->last_turn = now->mono_ns;
  for (job *j = take_done(d, failure).first, *next; j; j = next) {
    next = j->next;
    msub_token token = j->token;
    int result = j->result;
    if (result != MSUB_OK) explain(d, result, failure);
    settle(d, j);
    if (d->listener) d->listener(d->listener_ud, token, result);
  }
  d->in_turn = false;
}

static uint64_t next_deadline(const void *s) {
  const msub_store_disk *d = s;
  if (atomic_load(&d->ready)) return 0;
  return d->waiting == 0 || d->watched ? MSUB_NEVER : msub__deadline(d->last_turn, POLL_NS);
}

static const msub_store_ops ops = MSUB__STORE_OPS;

/* ---- life ---- */

void msub_store_disk_opts_init(msub_store_disk_opts *o) {
  *o = (msub_store_disk_opts){ .size = sizeof *o,
                               .map_bytes = UINT64_C(64) << 20,
                               .max_bytes = sizeof(void *) > 4 ? UINT64_C(16) << 30 : UINT64_C(1) << 30,
                               .segment_bytes = UINT32_C(16) << 20,
                               .max_waiting = 1024,
                               .max_waiting_bytes = (size_t)64 << 20 };
}

static bool join_path(const msub_store_disk *d, const char *name, char out[MSUB__FOLDER_PATH + 64]) {
  int n = snprintf(out, MSUB__FOLDER_PATH + 64, "%s/%s", d->dir, name);
  return n > 0;
}

/* Where the keys are. */
static bool table_path(const msub_store_disk *d, char out[MSUB__FOLDER_PATH + 64]) { return join_path(d, "data.mdb", out); }

/* Its size, or -errno. */
static int64_t size_of(const msub_store_disk *d, const char *path) {
  int fd = d->os->open(d->os->ud, path, MSUB__OS_READ);
  int64_t size = fd < 0 ? fd : d->os->size(d->os->ud, fd);
  if (fd >= 0) (void)d->os->close(d->os->ud, fd);
  return size;
}

/* LMDB trusts its file. After a kill there is nothing wrong with it, but who knows why it was killed. */
static int check_table(const msub_store_disk *d, char *why) {
  char path[MSUB__FOLDER_PATH + 64], what[200];
  (void)table_path(d, path);
  if (d->folder.making) return MSUB_OK;
  int64_t size = size_of(d, path);
  if (size < 0 && size != -ENOENT) {
    (void)snprintf(why, MSUB_STORE_WHY, "%s/data.mdb: %s", d->dir, strerror((int)-size));
    return msub__os_err((int)size);
  }
  if (size <= 0) {
    (void)snprintf(why, MSUB_STORE_WHY, "%s/data.mdb: missing or empty, and this is a store: put the folder back from a copy", d->dir);
    return MSUB_ERR_MALFORMED;
  }
  if (!d->o.verify && !d->folder.unclean && msub__lmdb_is_long_enough(d->os, path)) return MSUB_OK;
  int err = msub__lmdb_check(d->os, &d->v.mem, path, what, sizeof what);
  if (err == MSUB_ERR_NOMEM) return err;
  if (err != MSUB_OK)
    (void)snprintf(why, MSUB_STORE_WHY, "%s/data.mdb: %s%s", d->dir, what,
                   err == MSUB_ERR_MALFORMED ? "; nothing was changed: put the folder back from a copy, or name another one" : "");
  return err;
}

static bool count_key(void *ud, msub_bytes key, msub_bytes value) {
  (void)key;
  (void)value;
  ++*(uint64_t *)ud;
  return true;
}

static int verify_keys(msub_store_disk *d, char *why) {
  uint64_t n = 0, damaged = d->count.damaged;
  int err = iterate(d, (msub_bytes){ NULL, 0 }, count_key, &n);
  if (err != MSUB_OK && d->count.damaged == damaged) {
    (void)snprintf(why, MSUB_STORE_WHY, "%s/data.mdb: cannot be read behind the first %llu values: %s", d->dir, (unsigned long long)n, msub_err_text(err));
    return err;
  }
  if (err != MSUB_OK) {
    (void)snprintf(why, MSUB_STORE_WHY, "%s/data.mdb: %llu of %llu values are not what was stored; put the folder back from a copy", d->dir,
                   (unsigned long long)d->count.damaged, (unsigned long long)(n + d->count.damaged));
    return MSUB_ERR_MALFORMED;
  }
  return MSUB_OK;
}

static int verify_all(msub_store_disk *d, char *why) {
  int err = verify_keys(d, why);
  return err == MSUB_OK ? msub__log_verify(d->log, why, MSUB_STORE_WHY) : err;
}

static int open_log(msub_store_disk *d, uint64_t durable, msub__log **out, char *why) {
  char path[MSUB__FOLDER_PATH + 64];
  (void)join_path(d, "log", path);
  msub__log_opts l = { .os = d->os, .mem = &d->v.mem, .dir = path, .segment_bytes = d->o.segment_bytes, .read_only = d->o.read_only,
                       .cut = d->o.cut_damage, .durable = d->o.cut_damage ? 0 : durable };
  return msub__log_open(&l, out, why, MSUB_STORE_WHY);
}

static int open_parts(msub_store_disk *d, char *why) {
  int err = msub__folder_open(&d->folder, d->os, d->dir, d->o.must_exist, d->o.read_only, why);
  if (err == MSUB_OK) err = check_table(d, why);
  if (err != MSUB_OK) return err;
  msub__table_opts t = { .dir = d->dir, .read_only = d->o.read_only, .map_bytes = d->o.map_bytes, .max_bytes = d->o.max_bytes };
  err = msub__table_open(&t, &d->table, why, MSUB_STORE_WHY);
  if (err != MSUB_OK) return err;
  err = open_log(d, msub__table_log_durable(d->table), &d->log, why);
  if (err != MSUB_OK) return err;
  d->log_durable = msub__log_durable(d->log);
  return msub__folder_made(&d->folder, why);
}

static int start_thread(msub_store_disk *d) {
  sigset_t all, had;
  if (pipe(d->pipe) < 0) return MSUB_ERR_IO;
  for (int i = 0; i < 2; i++) {
    if (fcntl(d->pipe[i], F_SETFD, FD_CLOEXEC) < 0 || fcntl(d->pipe[i], F_SETFL, O_NONBLOCK) < 0) return MSUB_ERR_IO;
  }
  (void)sigfillset(&all); /* signals are the program's */
  if (pthread_sigmask(SIG_SETMASK, &all, &had) != 0) return MSUB_ERR_IO;
  d->has_thread = pthread_create(&d->thread, NULL, thread_main, d) == 0;
  (void)pthread_sigmask(SIG_SETMASK, &had, NULL);
  return d->has_thread ? MSUB_OK : MSUB_ERR_NOMEM;
}

/* Whatever is there goes. */
static void destroy(msub_store_disk *d, bool clean) {
  msub__log_close(d->log);
  msub__table_close(d->table);
  msub__folder_close(&d->folder, clean);
  for (int i = 0; i < 2; i++)
    if (d->pipe[i] >= 0) (void)close(d->pipe[i]);
  msub__versions_fini(&d->v);
  MSUB__INVARIANT(d->v.bytes == 0);
  (void)pthread_cond_destroy(&d->changed);
  (void)pthread_mutex_destroy(&d->lock);
  msub_mem mem = d->v.mem;
  if (d->dir) msub__free(&mem, d->dir, strlen(d->dir) + 1);
  msub__free(&mem, d, sizeof *d);
}

/* ---- again, after a failure ---- */

typedef struct uncacher { const msub_store_disk *d; char path[MSUB__FOLDER_PATH + 64]; int err; } uncacher;
static bool uncache_one(void *ud, const char *name) {
  uncacher *u = ud;
  char path[MSUB__FOLDER_PATH + 64 + 32];
  if (snprintf(path, sizeof path, "%s/%s", u->path, name) >= (int)sizeof path) return true; /* no segment has such a name */
  int fd = u->d->os->open(u->d->os->ud, path, MSUB__OS_READ);
  u->err = fd < 0 ? fd : u->d->os->uncache(u->d->os->ud, fd);
  if (fd >= 0) (void)u->d->os->close(u->d->os->ud, fd);
  return u->err == 0;
}

/* The log as the disk has it, beside the one that is open, which does not write any more. */
static int log_again(msub_store_disk *d, char *why) {
  msub__log *log;
  uncacher u = { .d = d };
  (void)join_path(d, "log", u.path);
  int r = d->os->list(d->os->ud, u.path, uncache_one, &u);
  if (r >= 0) r = u.err;
  if (r < 0) {
    (void)snprintf(why, MSUB_STORE_WHY, "%s: %s", u.path, strerror(-r));
    return msub__os_err(r);
  }
  uint64_t told = msub__log_durable(d->log), known = msub__table_log_durable(d->table);
  int err = open_log(d, told > known ? told : known, &log, why);
  if (err != MSUB_OK) return err;
  err = msub__log_verify(log, why, MSUB_STORE_WHY);
  if (err != MSUB_OK) {
    msub__log_close(log);
    return err;
  }
  msub__log_close(d->log);
  d->log = log;
  d->log_durable = msub__log_durable(log);
  return MSUB_OK;
}

bool msub_store_disk_broken(const msub_store_disk *d) { return atomic_load(&d->broken); }

int msub_store_disk_retry(msub_store_disk *d, char *why) {
  char own[MSUB_STORE_WHY], path[MSUB__FOLDER_PATH + 64];
  if (!why) why = own;
  *why = '\0';
  (void)enter(d);
  if (!atomic_load(&d->broken) || d->waiting > 0 || d->in_turn) return MSUB_ERR_STATE;
  /* Nothing waits, so the thread sleeps, and all but the lists is the owner's. */
  (void)table_path(d, path);
  int err = msub__table_again(d->table, d->os, &d->v.mem, path, why, MSUB_STORE_WHY);
  if (err == MSUB_OK) err = verify_keys(d, why);
  if (err == MSUB_OK) err = log_again(d, why);
  msub__table_release(d->table);
  if (err == MSUB_OK) {
    d->count.retried++;
    (void)pthread_mutex_lock(&d->lock);
    d->failure[0] = '\0';
    atomic_store(&d->broken, false);
    (void)pthread_mutex_unlock(&d->lock);
  } else if (!*why) {
    (void)snprintf(why, MSUB_STORE_WHY, "%s: %s", d->dir, msub_err_text(err));
  }
  return err;
}

static const char *bad_opts(const msub_store_disk_opts *o) {
  if (o->size != sizeof *o) return "the options are of another version, or were not initialised";
  if (!o->dir || !*o->dir) return "no folder is named";
  if (strlen(o->dir) > MSUB__FOLDER_PATH) return "the folder's path is too long";
  if (o->map_bytes < MAP_MIN || o->max_bytes < o->map_bytes || o->max_bytes > SIZE_MAX / 2) return "map_bytes: 64 KiB or more, and at most max_bytes";
  if (o->segment_bytes < SEGMENT_MIN || o->segment_bytes > SEGMENT_MAX) return "segment_bytes: 4 KiB to 1 GiB";
  if (o->max_waiting == 0 || o->max_waiting_bytes == 0) return "max_waiting: at least 1";
  return NULL;
}

int msub__store_disk_open(const msub_store_disk_opts *o, const msub__os *os, msub_store_disk **out, char *why) {
  char own[MSUB_STORE_WHY];
  if (!why) why = own;
  *why = '\0';
  const char *bad = bad_opts(o);
  if (bad) {
    (void)snprintf(why, MSUB_STORE_WHY, "%s", bad);
    return MSUB_ERR_INVAL;
  }
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_store_disk *d = msub__zalloc(&mem, 1, sizeof *d);
  size_t n = strlen(o->dir) + 1;
  if (d) d->dir = msub__alloc(&mem, n);
  if (!d || !d->dir) {
    msub__free(&mem, d, sizeof *d);
    (void)snprintf(why, MSUB_STORE_WHY, "%s", msub_err_text(MSUB_ERR_NOMEM));
    return MSUB_ERR_NOMEM;
  }
  memcpy(d->dir, o->dir, n);
  d->v = (msub__versions){ .mem = mem };
  d->o = *o;
  d->o.mem = &d->v.mem;
  d->o.dir = d->dir;
  d->os = os;
  d->folder.fd = d->pipe[0] = d->pipe[1] = -1;
  (void)no_jobs(&d->todo);
  (void)no_jobs(&d->done);
  (void)pthread_mutex_init(&d->lock, NULL);
  (void)pthread_cond_init(&d->changed, NULL);
  int err = open_parts(d, why);
  if (err == MSUB_OK && o->verify) err = verify_all(d, why);
  if (err == MSUB_OK && !o->read_only) err = start_thread(d);
  if (err != MSUB_OK) {
    if (!*why) (void)snprintf(why, MSUB_STORE_WHY, "%s: %s", d->dir, msub_err_text(err));
    destroy(d, !d->folder.unclean);
    return err;
  }
  d->count.damaged = 0;
  *out = d;
  return MSUB_OK;
}

int msub_store_disk_open(const msub_store_disk_opts *o, msub_store_disk **out, char *why) {
  return msub__store_disk_open(o, &msub__os_posix, out, why);
}

/* Until the thread has ended; it may need more of the map on its way. */
static void wait_for_thread(msub_store_disk *d) {
  (void)pthread_mutex_lock(&d->lock);
  d->closing = true;
  d->held = false;
  (void)pthread_cond_broadcast(&d->changed);
  while (!d->finished) {
    if (!atomic_load(&d->wants_more)) {
      (void)pthread_cond_wait(&d->changed, &d->lock);
      continue;
    }
    (void)pthread_mutex_unlock(&d->lock);
    give_more(d);
    (void)pthread_mutex_lock(&d->lock);
  }
  (void)pthread_mutex_unlock(&d->lock);
  (void)pthread_join(d->thread, NULL);
}

/* Without a word to the listener. The first error. */
static int settle_all(msub_store_disk *d, jobs *l, int lost) {
  int err = MSUB_OK;
  for (job *j = no_jobs(l).first, *next; j; j = next) {
    next = j->next;
    if (lost != MSUB_OK) j->result = lost;
    if (err == MSUB_OK) err = j->result;
    settle(d, j);
  }
  return err;
}

int msub_store_disk_free(msub_store_disk *d) {
  int err = MSUB_OK;
  if (!d) return MSUB_OK;
  MSUB__INVARIANT(!d->in_turn);
  (void)enter(d);
  if (d->has_thread) {
    uint64_t first, next;
    msub__log_range(d->log, &first, &next);
    if (next > msub__log_durable(d->log) || first > 0) {
      d->o.max_waiting = SIZE_MAX;
      err = log_sync(d, (msub_token){ 0 });
    }
    wait_for_thread(d);
    int unwritten = settle_all(d, &d->done, MSUB_OK);
    if (err == MSUB_OK) err = unwritten;
  }
  destroy(d, true);
  return err;
}

void msub__store_disk_abandon(msub_store_disk *d) {
  (void)enter(d);
  (void)pthread_mutex_lock(&d->lock);
  d->abandoned = true;
  (void)pthread_mutex_unlock(&d->lock);
  if (d->has_thread) wait_for_thread(d);
  (void)settle_all(d, &d->done, MSUB_ERR_CLOSED);
  (void)settle_all(d, &d->todo, MSUB_ERR_CLOSED);
  destroy(d, false);
}

void msub__store_disk_hold(msub_store_disk *d, bool on) {
  (void)pthread_mutex_lock(&d->lock);
  d->held = on;
  (void)pthread_cond_broadcast(&d->changed);
  (void)pthread_mutex_unlock(&d->lock);
}

msub_store msub_store_disk_store(msub_store_disk *d) { return (msub_store){ &ops, d }; }

int msub_store_disk_fd(msub_store_disk *d) {
  d->watched = true;
  return d->pipe[0];
}

const char *msub_store_disk_why(const msub_store_disk *d) { return d->why; }

void msub_store_disk_count(msub_store_disk *d, msub_store_disk_counts *out) {
  (void)enter(d);
  d->count.waiting = d->waiting;
  d->count.waiting_bytes = bytes_waiting(d);
  msub__table_size(d->table, &d->count.key_bytes, &d->count.keys);
  (void)pthread_mutex_lock(&d->lock);
  d->count.commits = d->commits;
  (void)pthread_mutex_unlock(&d->lock);
  *out = d->count;
}

/* ---- compaction ---- */

int msub_store_disk_compact(const msub_store_disk_opts *o, uint64_t *before, uint64_t *after, char *why) {
  msub_store_disk_opts mine = *o;
  char own[MSUB_STORE_WHY], path[MSUB__FOLDER_PATH + 64], copy[MSUB__FOLDER_PATH + 64];
  msub_store_disk *d;
  if (!why) why = own;
  mine.must_exist = true;
  mine.read_only = false;
  int err = msub_store_disk_open(&mine, &d, why);
  if (err != MSUB_OK) return err;
  (void)table_path(d, path);
  (void)join_path(d, "data.mdb.new", copy);
  int64_t old = size_of(d, path);
  err = msub__table_copy(d->table, copy, why, MSUB_STORE_WHY);
  int64_t new = size_of(d, copy);
  if (err == MSUB_OK) {
    char what[200];
    err = msub__lmdb_check(d->os, &d->v.mem, copy, what, sizeof what); /* before the old one goes */
    if (err != MSUB_OK) (void)snprintf(why, MSUB_STORE_WHY, "%s: %s; the old file stands", copy, what);
  }
  if (err == MSUB_OK) {
    int r = d->os->rename(d->os->ud, copy, path);
    if (r >= 0) r = d->os->sync_dir(d->os->ud, d->dir);
    if (r < 0) (void)snprintf(why, MSUB_STORE_WHY, "%s: %s; the old file stands", path, strerror(-r));
    err = msub__os_err(r < 0 ? r : 0);
  }
  if (err != MSUB_OK) (void)d->os->remove(d->os->ud, copy);
  *before = old > 0 ? (uint64_t)old : 0;
  *after = new > 0 ? (uint64_t)new : 0;
  int closed = msub_store_disk_free(d);
  return err != MSUB_OK ? err : closed;
}
