#define _POSIX_C_SOURCE 200809L
#define XXH_INLINE_ALL
#include "store/lmdb.h"
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/assert.h"

#define SUM 8u /* in front of a value */

static const char log_durable_key[] = "log durable";

struct msub__table {
  pthread_mutex_t writing; /* held during a commit */
  bool stopped;            /* the environment is open to be read only, after a fatal error */
  char *dir;
  MDB_env *env;
  MDB_dbi keys, meta;
  MDB_txn *reading; /* kept for ever, reset and renewed */
  MDB_cursor *cursor;
  bool has_snapshot, read_only;
  uint64_t map, max_map;
  size_t committed; /* the newest transaction that is durable */
  uint64_t log_written; /* as the meta database has it; the thread's from the first commit on */
};

/* ---- errors ---- */

static int code_of(int rc) {
  switch (rc) {
  case MDB_SUCCESS: return MSUB_OK;
  case MDB_NOTFOUND: return MSUB_ERR_NOTFOUND;
  case MDB_MAP_FULL:
  case ENOSPC:
#ifdef EDQUOT
  case EDQUOT:
#endif
    return MSUB_ERR_LIMIT;
  case ENOMEM: return MSUB_ERR_NOMEM;
  case MDB_CORRUPTED:
  case MDB_PAGE_NOTFOUND:
  case MDB_INVALID:
  case MDB_VERSION_MISMATCH:
  case MDB_INCOMPATIBLE: return MSUB_ERR_MALFORMED;
  default: return MSUB_ERR_IO;
  }
}

static int refuse(char *why, size_t why_n, const char *dir, int rc) {
  (void)snprintf(why, why_n, "%s/data.mdb: %s", dir, mdb_strerror(rc));
  return code_of(rc);
}

/* ---- values ---- */

static uint64_t sum_of(msub_bytes key, const void *value, size_t n) {
  return XXH3_64bits_withSeed(n ? value : "", n, XXH3_64bits(key.p, key.n));
}

static MDB_val val_of(msub_bytes b) { return (MDB_val){ b.n, (void *)(uintptr_t)b.p }; }
static msub_bytes bytes_of(MDB_val v) { return (msub_bytes){ v.mv_data, v.mv_size }; }

static int unwrap(msub_bytes key, MDB_val v, msub_bytes *out) {
  uint64_t sum;
  if (v.mv_size < SUM) return MSUB_ERR_MALFORMED;
  memcpy(&sum, v.mv_data, SUM);
  *out = (msub_bytes){ (const uint8_t *)v.mv_data + SUM, v.mv_size - SUM };
  return sum == sum_of(key, out->p, out->n) ? MSUB_OK : MSUB_ERR_MALFORMED;
}

/* ---- opening ---- */

static int open_databases(msub__table *t) {
  MDB_txn *txn;
  unsigned create = t->read_only ? 0 : MDB_CREATE;
  MDB_val key = { sizeof log_durable_key - 1, (void *)(uintptr_t)log_durable_key }, v;
  int rc = mdb_txn_begin(t->env, NULL, t->read_only ? MDB_RDONLY : 0, &txn);
  if (rc) return rc;
  rc = mdb_dbi_open(txn, "keys", create, &t->keys);
  if (!rc) rc = mdb_dbi_open(txn, "meta", create, &t->meta);
  if (!rc) {
    rc = mdb_get(txn, t->meta, &key, &v);
    if (rc == MDB_NOTFOUND) rc = 0;
    else if (!rc && v.mv_size != sizeof t->log_written) rc = MDB_CORRUPTED;
    else if (!rc && !t->stopped) memcpy(&t->log_written, v.mv_data, sizeof t->log_written);
  }
  if (rc) {
    mdb_txn_abort(txn);
    return rc;
  }
  return mdb_txn_commit(txn);
}

static uint64_t whole_pages(uint64_t n) {
  long page = sysconf(_SC_PAGESIZE);
  uint64_t p = page > 0 ? (uint64_t)page : 4096;
  return n - n % p;
}

static int open_env(msub__table *t) {
  int rc = mdb_env_create(&t->env);
  if (!rc) rc = mdb_env_set_maxdbs(t->env, 2);
  if (!rc) rc = mdb_env_set_mapsize(t->env, (size_t)t->map);
  if (!rc) rc = mdb_env_open(t->env, t->dir, MDB_NOTLS | (t->read_only ? MDB_RDONLY : 0), 0600);
  if (!rc) {
    MDB_envinfo info;
    int dead;
    rc = mdb_env_info(t->env, &info);
    if (!rc) t->map = info.me_mapsize; /* at least what is in use */
    if (!rc && !t->stopped) t->committed = info.me_last_txnid;
    if (!rc && !t->read_only) rc = mdb_reader_check(t->env, &dead);
  }
  /* A table that is full opens all the same: nothing is written here but at the first time. */
  if (!rc) rc = open_databases(t);
  if (!rc) rc = mdb_txn_begin(t->env, NULL, MDB_RDONLY, &t->reading);
  if (!rc) rc = mdb_cursor_open(t->reading, t->keys, &t->cursor);
  if (!rc) mdb_txn_reset(t->reading);
  return rc;
}

static void close_env(msub__table *t) {
  if (t->cursor) mdb_cursor_close(t->cursor);
  if (t->reading) mdb_txn_abort(t->reading);
  if (t->env) mdb_env_close(t->env);
  t->cursor = NULL;
  t->reading = NULL;
  t->env = NULL;
}

int msub__table_open(const msub__table_opts *o, msub__table **out, char *why, size_t why_n) {
  msub__table *t = calloc(1, sizeof *t);
  if (t) t->dir = strdup(o->dir);
  if (!t || !t->dir) {
    free(t);
    return MSUB_ERR_NOMEM;
  }
  t->read_only = o->read_only;
  t->max_map = whole_pages(o->max_bytes);
  t->map = whole_pages(o->map_bytes < t->max_map ? o->map_bytes : t->max_map);
  (void)pthread_mutex_init(&t->writing, NULL);
  int rc = open_env(t);
  if (rc) {
    int err = refuse(why, why_n, o->dir, rc);
    msub__table_close(t);
    return err;
  }
  *out = t;
  return MSUB_OK;
}

int msub__table_again(msub__table *t, const msub__os *os, const msub_mem *mem, const char *path, char *why, size_t why_n) {
  size_t had = t->committed;
  msub__table_release(t);
  close_env(t);
  t->stopped = true; /* until all is well */
  t->read_only = false;
  int fd = os->open(os->ud, path, MSUB__OS_READ), rc = fd < 0 ? fd : os->uncache(os->ud, fd);
  if (fd >= 0) (void)os->close(os->ud, fd);
  if (rc < 0) {
    (void)snprintf(why, why_n, "%s: %s", path, strerror(-rc));
    return msub__os_err(rc);
  }
  char what[200];
  int err = msub__lmdb_check(os, mem, path, what, sizeof what);
  if (err != MSUB_OK) {
    (void)snprintf(why, why_n, "%s: %s", path, what);
    return err;
  }
  t->stopped = false;
  rc = open_env(t);
  if (rc) err = refuse(why, why_n, t->dir, rc);
  if (!rc && t->committed < had) {
    (void)snprintf(why, why_n, "%s: transaction %zu was durable, and the newest is %zu", path, had, t->committed);
    err = MSUB_ERR_MALFORMED;
  }
  if (err == MSUB_OK) return MSUB_OK;
  close_env(t);
  t->stopped = true;
  t->committed = had;
  return err;
}

void msub__table_close(msub__table *t) {
  if (!t) return;
  close_env(t);
  (void)pthread_mutex_destroy(&t->writing);
  free(t->dir);
  free(t);
}

/* ---- reading ---- */

/* After a meta page that could not be written LMDB refuses even to read; opened anew, it shows what is on the disk. */
static int reopen(msub__table *t) {
  (void)pthread_mutex_lock(&t->writing);
  bool first = !t->stopped;
  t->stopped = t->read_only = true;
  if (first) close_env(t);
  int rc = first ? open_env(t) : MDB_PANIC;
  if (rc) close_env(t);
  (void)pthread_mutex_unlock(&t->writing);
  return rc;
}

static int begin(msub__table *t) {
  if (t->has_snapshot) return MSUB_OK;
  int rc = t->env ? mdb_txn_renew(t->reading) : MDB_PANIC;
  if (rc == MDB_PANIC && t->env && !reopen(t)) rc = mdb_txn_renew(t->reading);
  if (!rc && (rc = mdb_cursor_renew(t->reading, t->cursor)) != 0) mdb_txn_reset(t->reading); /* else it could not be renewed again */
  t->has_snapshot = !rc;
  return rc ? MSUB_ERR_IO : MSUB_OK;
}

void msub__table_release(msub__table *t) {
  if (t->has_snapshot) mdb_txn_reset(t->reading);
  t->has_snapshot = false;
}

int msub__table_get(msub__table *t, msub_bytes key, msub_bytes *value) {
  MDB_val k = val_of(key), v;
  if (key.n == 0 || key.n > MSUB_STORE_KEY_MAX) return MSUB_ERR_NOTFOUND;
  int err = begin(t);
  if (err != MSUB_OK) return err;
  int rc = mdb_get(t->reading, t->keys, &k, &v);
  if (rc) return rc == MDB_NOTFOUND ? MSUB_ERR_NOTFOUND : MSUB_ERR_IO;
  return unwrap(key, v, value);
}

static int move(msub__table *t, MDB_cursor_op op, MDB_val k, msub_bytes *key, msub_bytes *value) {
  MDB_val v;
  int rc = mdb_cursor_get(t->cursor, &k, &v, op);
  if (rc) return rc == MDB_NOTFOUND ? MSUB_ERR_NOTFOUND : MSUB_ERR_IO;
  *key = bytes_of(k);
  return unwrap(*key, v, value);
}

int msub__table_seek(msub__table *t, msub_bytes from, msub_bytes *key, msub_bytes *value) {
  int err = begin(t);
  if (err != MSUB_OK) return err;
  return move(t, from.n ? MDB_SET_RANGE : MDB_FIRST, val_of(from), key, value);
}

int msub__table_next(msub__table *t, msub_bytes *key, msub_bytes *value) {
  return move(t, MDB_NEXT, (MDB_val){ 0, NULL }, key, value);
}

uint64_t msub__table_log_durable(const msub__table *t) { return t->log_written; }

bool msub__table_grow(msub__table *t) {
  uint64_t more = t->map > t->max_map / 2 ? t->max_map : 2 * t->map;
  if (more <= t->map) return false;
  msub__table_release(t);
  if (t->stopped || mdb_env_set_mapsize(t->env, (size_t)more)) return false;
  t->map = more;
  return true;
}

void msub__table_size(msub__table *t, uint64_t *used, uint64_t *entries) {
  MDB_envinfo info;
  MDB_stat st;
  *used = *entries = 0;
  if (begin(t) != MSUB_OK) return;
  if (!mdb_env_info(t->env, &info) && !mdb_stat(t->reading, t->keys, &st)) {
    *used = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
    *entries = st.ms_entries;
  }
  msub__table_release(t);
}

/* ---- writing ---- */

static int put(MDB_txn *txn, MDB_dbi db, const msub__version *x) {
  msub_bytes key = x->of->node.key;
  MDB_val k = val_of(key), v = { SUM + x->n, NULL };
  if (!x->put) {
    int rc = mdb_del(txn, db, &k, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
  }
  int rc = mdb_put(txn, db, &k, &v, MDB_RESERVE);
  if (rc) return rc;
  uint64_t sum = sum_of(key, x->bytes, x->n);
  memcpy(v.mv_data, &sum, SUM);
  if (x->n) memcpy((uint8_t *)v.mv_data + SUM, x->bytes, x->n);
  return 0;
}

msub__commit msub__table_commit(msub__table *t, msub__version *const *batches, size_t n, uint64_t log_durable, char *why) {
  MDB_txn *txn;
  (void)pthread_mutex_lock(&t->writing);
  int rc = t->stopped ? MDB_PANIC : mdb_txn_begin(t->env, NULL, 0, &txn);
  if (!rc) {
    for (size_t i = 0; i < n && !rc; i++)
      for (const msub__version *x = batches[i]; x && !rc; x = x->in_batch) rc = put(txn, t->keys, x);
    if (!rc && log_durable != t->log_written) {
      MDB_val k = { sizeof log_durable_key - 1, (void *)(uintptr_t)log_durable_key }, v = { sizeof log_durable, &log_durable };
      rc = mdb_put(txn, t->meta, &k, &v, 0);
    }
    size_t id = mdb_txn_id(txn);
    if (rc)
      mdb_txn_abort(txn);
    else if (!(rc = mdb_txn_commit(txn)))
      t->committed = id;
  }
  (void)pthread_mutex_unlock(&t->writing);
  if (!rc) {
    t->log_written = log_durable;
    return MSUB__COMMITTED;
  }
  (void)snprintf(why, 128, "%s", mdb_strerror(rc));
  if (rc == MDB_MAP_FULL) return MSUB__MAP_FULL;
  return code_of(rc) == MSUB_ERR_LIMIT ? MSUB__DISK_FULL : MSUB__COMMIT_FAILED;
}

int msub__table_copy(msub__table *t, const char *path, char *why, size_t why_n) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  int rc = fd < 0 ? errno : mdb_env_copyfd2(t->env, fd, MDB_CP_COMPACT);
  if (!rc && fdatasync(fd) < 0) rc = errno;
  if (fd >= 0) (void)close(fd);
  if (!rc) return MSUB_OK;
  (void)snprintf(why, why_n, "%s: %s", path, mdb_strerror(rc));
  if (fd >= 0) (void)unlink(path);
  return code_of(rc);
}
