/* crash.store [STATES [SEED]]: work on a store, every write and sync of it recorded, LMDB's too; then what a power cut could have left at each point,
 * opened and compared with the work: everything told is there, nothing is torn, order is kept.
 *
 * Left of what was not synced: nothing, everything, or any pieces of 512 bytes; of names that were not synced, the first few. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/rng.h"
#include "disk_kit.h"
#include "store_work.h"
#include "syscalls.h"

enum { BATCHES = 500, FILES = 512, PIECE = 512 };

static uint64_t told;

static void on_durable(void *ud, msub_token token, int result) {
  (void)ud;
  if (result != MSUB_OK) work_broken("the work", "batch %u: %s", (unsigned)token.v, msub_err_name(result));
  if (token.v == 0) return;
  told = token.v;
  sys_mark(told, 0);
}

static void work(disk_kit *k, msub__rng *r) {
  msub_store s = k->kit.store;
  struct pollfd p = { .fd = msub_store_disk_fd(k->disk), .events = POLLIN };
  msub_now now = { 1, 0 };
  s.ops->listen(s.s, on_durable, NULL);
  for (uint64_t i = 1; i <= BATCHES; i++) {
    int err = work_submit(s, i, i);
    if (err != MSUB_OK) work_broken("the work", "batch %u is refused: %s", (unsigned)i, msub_err_name(err));
    if (msub__rng_below(r, 3) && i < BATCHES) continue; /* so groups of several */
    while (told < i) {
      (void)poll(&p, 1, 1000);
      s.ops->turn(s.s, &now);
    }
  }
}

/* ---- what is on the disk ---- */

typedef struct image {
  uint8_t *bytes;
  size_t n, cap;
} image;
typedef struct file {
  image synced;
  bool named; /* its name is on the disk */
  const sys_op *pending[256];
  unsigned n_pending;
} file;
static file files[FILES];
static const sys_op *names[256]; /* creations and removals that are not synced */
static unsigned n_names;

static void resize(image *m, size_t n) {
  if (n > m->cap) {
    m->cap = n + (64 << 10);
    m->bytes = realloc(m->bytes, m->cap);
    if (!m->bytes) abort();
  }
  if (n > m->n) memset(m->bytes + m->n, 0, n - m->n);
  m->n = n;
}

static void apply(image *m, const sys_op *o, uint64_t from, uint64_t n) {
  if (o->kind == SYS_TRUNCATE) {
    resize(m, o->at);
    return;
  }
  if (m->n < o->at + from + n) resize(m, o->at + from + n);
  if (n) memcpy(m->bytes + o->at + from, o->bytes + from, n);
}

static void name_op(const sys_op *o) { files[o->file].named = o->kind == SYS_CREATE; }

static void happens(const sys_op *o) {
  file *f = &files[o->file];
  switch (o->kind) {
  case SYS_WRITE:
  case SYS_TRUNCATE:
    if (o->synced) apply(&f->synced, o, 0, o->n);
    else if (f->n_pending == 256) abort();
    else f->pending[f->n_pending++] = o;
    break;
  case SYS_SYNC:
    for (unsigned i = 0; i < f->n_pending; i++) apply(&f->synced, f->pending[i], 0, f->pending[i]->n);
    f->n_pending = 0;
    break;
  case SYS_CREATE:
  case SYS_REMOVE:
    if (n_names == 256) abort();
    names[n_names++] = o;
    break;
  case SYS_SYNC_DIR:
    for (unsigned i = 0; i < n_names; i++) name_op(names[i]);
    n_names = 0;
    break;
  case SYS_MARK: told = o->at; break;
  case SYS_OPEN: break;
  }
}

/* how: 0 nothing, 1 everything, 2 pieces. `next`: the write under way, of which pieces can be there as well. */
static void crash_image(image *out, const file *f, unsigned how, const sys_op *next, msub__rng *r) {
  out->n = 0;
  resize(out, f->synced.n);
  if (f->synced.n) memcpy(out->bytes, f->synced.bytes, f->synced.n);
  if (how == 0) return;
  for (unsigned i = 0; i <= f->n_pending; i++) {
    const sys_op *o = i < f->n_pending ? f->pending[i] : next;
    if (!o) break;
    if (how == 1 && o != next) apply(out, o, 0, o->n);
    if (how == 1) continue;
    if (o->kind == SYS_TRUNCATE) {
      if (msub__rng_below(r, 2)) apply(out, o, 0, 0);
      continue;
    }
    for (uint64_t at = 0; at < o->n;) { /* pieces of the disk, not of the write */
      uint64_t n = PIECE - (o->at + at) % PIECE;
      if (n > o->n - at) n = o->n - at;
      if (msub__rng_below(r, 2)) apply(out, o, at, n);
      at += n;
    }
  }
}

static void crash_state(const char *dir, unsigned how, const sys_op *next, msub__rng *r, unsigned n_files) {
  static image out;
  char path[400];
  bool named[FILES];
  for (unsigned i = 0; i < n_files; i++) named[i] = files[i].named;
  unsigned first = how == 0 ? 0 : how == 1 ? n_names : msub__rng_below(r, n_names + 1);
  for (unsigned i = 0; i < first; i++) named[names[i]->file] = names[i]->kind == SYS_CREATE;
  remove_folder(dir);
  (void)snprintf(path, sizeof path, "%s/log", dir);
  if (mkdir(dir, 0700) < 0 || mkdir(path, 0700) < 0) abort();
  for (unsigned i = 0; i < n_files; i++) {
    const char *name = sys_file_name(i);
    if (!named[i] || strcmp(name, "lock") == 0 || strcmp(name, "lock.mdb") == 0) continue;
    crash_image(&out, &files[i], how, next && next->file == i && (next->kind == SYS_WRITE) && !next->synced ? next : NULL, r);
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    write_file(path, out.bytes, out.n);
  }
  (void)snprintf(path, sizeof path, "%s/lock", dir);
  write_file(path, "1\n", 2);
}

static void check_state(const char *dir, size_t at, unsigned how, bool go_on) {
  char why[MSUB_STORE_WHY], where[64];
  msub_store_disk_opts o;
  msub_store_disk *d;
  msub_store_disk_opts_init(&o);
  o.dir = dir;
  o.segment_bytes = 4096;
  o.map_bytes = 2 << 20;
  (void)snprintf(where, sizeof where, "before operation %zu, %s", at, how == 0 ? "nothing unsynced" : how == 1 ? "all of it" : "pieces of it");
  if (msub_store_disk_open(&o, &d, why) != MSUB_OK) work_broken(where, "%s", why);
  uint64_t had = work_check(msub_store_disk_store(d), told, BATCHES, where);
  for (uint64_t i = had + 1; go_on && i <= had + 4; i++)
    if (work_submit(msub_store_disk_store(d), i, i) != MSUB_OK) work_broken(where, "it does not go on");
  if (msub_store_disk_free(d) != MSUB_OK) work_broken(where, "it cannot be closed");
  if (!go_on) return;
  if (msub_store_disk_open(&o, &d, why) != MSUB_OK) work_broken(where, "once more: %s", why);
  (void)work_check(msub_store_disk_store(d), had + 4, had + 4 > BATCHES ? had + 4 : BATCHES, where);
  (void)msub_store_disk_free(d);
}

int main(int argc, char **argv) {
  static disk_kit kit;
  char why[MSUB_STORE_WHY], dir[96], path[160];
  static uint8_t bytes[1 << 20];
  size_t wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 5000, states = 0, n;
  msub__rng r;
  for (uint64_t seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1; states < wanted; seed++) {
    msub__rng_init(&r, seed, 0);
    disk_kit_init(&kit);
    (void)snprintf(dir, sizeof dir, "%s-image", kit.dir);
    if (disk_kit_open(&kit, why) != MSUB_OK || msub_store_disk_free(kit.disk) != MSUB_OK) work_broken("the work", "%s", why);
    sys_watch(kit.dir);
    sys_record(true);
    told = 0;
    if (disk_kit_open(&kit, why) != MSUB_OK) work_broken("the work", "%s", why);
    (void)snprintf(path, sizeof path, "%s/data.mdb", kit.dir);
    size_t base = read_file(path, bytes, sizeof bytes);
    work(&kit, &r);
    if (msub_store_disk_free(kit.disk) != MSUB_OK) abort();
    sys_record(false);
    const sys_op *ops = sys_ops(&n);
    unsigned n_files = 0;
    for (size_t i = 0; i < n; i++)
      if (ops[i].file >= n_files) n_files = ops[i].file + 1;
    for (unsigned i = 0; i < FILES; i++) files[i].synced.n = files[i].n_pending = 0, files[i].named = false;
    n_names = 0;
    told = 0;
    for (unsigned i = 0; i < n_files; i++) { /* what was there before */
      if (strcmp(sys_file_name(i), "data.mdb") == 0) {
        resize(&files[i].synced, base);
        memcpy(files[i].synced.bytes, bytes, base);
        files[i].named = true;
      }
      if (strcmp(sys_file_name(i), "version") == 0) {
        resize(&files[i].synced, 16);
        memcpy(files[i].synced.bytes, "meshsub store 1\n", 16);
        files[i].named = true;
      }
    }
    for (size_t i = 0; i < n; happens(&ops[i++])) {
      if (ops[i].kind == SYS_MARK || ops[i].kind == SYS_OPEN) continue;
      for (unsigned how = 0; how < 3; how++) {
        if (how < 2 && (i + how) % 2) continue;
        crash_state(dir, how, &ops[i], &r, n_files);
        check_state(dir, i, how, states++ % 16 == 0);
      }
    }
    printf("seed %u: %zu operations, %zu states\n", (unsigned)seed, n, states);
    if (told != BATCHES) work_broken("the record", "%u batches were told", (unsigned)told);
    sys_watch(NULL);
    remove_folder(dir);
    disk_kit_remove(&kit);
  }
  printf("%zu states: everything told is there, nothing torn\n", states);
  return states >= wanted ? 0 : 1;
}
