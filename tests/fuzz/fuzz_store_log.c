/* tests/fuzz/fuzz_store_log.c: the input as the files of a log: byte 0 how many, byte 1 options; then of each a name (8 bytes, the number of its first record,
 * little-endian), its length (2 bytes) and its bytes. Opening refuses it or not, and never more than the files have; what opens goes on, and opens
 * again as the same. */
#include <errno.h>
#include <string.h>
#include "store/log.h"
#include "tests/fuzz/fuzz.h"

enum { FILES = 6, SIZE = 1 << 17 };
static struct { char name[64]; uint8_t bytes[SIZE]; size_t n; bool used; } files[FILES];

static int find(const char *path) {
  const char *name = strrchr(path, '/') + 1;
  for (int i = 0; i < FILES; i++)
    if (files[i].used && strcmp(files[i].name, name) == 0) return i;
  return -1;
}
static int f_open(void *ud, const char *path, msub__os_mode mode) {
  (void)ud;
  int i = find(path);
  if (i >= 0 || mode != MSUB__OS_CREATE) return i < 0 ? -ENOENT : i;
  for (i = 0; i < FILES && files[i].used; i++) {}
  if (i == FILES) return -ENOSPC;
  files[i].used = true;
  files[i].n = 0;
  (void)snprintf(files[i].name, sizeof files[i].name, "%s", strrchr(path, '/') + 1);
  return i;
}
static int f_close(void *ud, int fd) { return (void)ud, (void)fd, 0; }
static int64_t f_size(void *ud, int fd) { return (void)ud, (int64_t)files[fd].n; }
static int64_t f_read(void *ud, int fd, void *to, size_t n, uint64_t at) {
  (void)ud;
  if (at >= files[fd].n) return 0;
  if (n > files[fd].n - at) n = files[fd].n - at;
  memcpy(to, files[fd].bytes + at, n);
  return (int64_t)n;
}
static int64_t f_write(void *ud, int fd, const void *from, size_t n, uint64_t at) {
  (void)ud;
  if (at + n > SIZE) return -ENOSPC;
  if (at > files[fd].n) memset(files[fd].bytes + files[fd].n, 0, at - files[fd].n);
  memcpy(files[fd].bytes + at, from, n);
  if (at + n > files[fd].n) files[fd].n = at + n;
  return (int64_t)n;
}
static int f_truncate(void *ud, int fd, uint64_t size) {
  (void)ud;
  FUZZ_CHECK(size <= files[fd].n);
  files[fd].n = size;
  return 0;
}
static int f_sync(void *ud, int fd) { return (void)ud, (void)fd, 0; }
static int f_sync_dir(void *ud, const char *dir) { return (void)ud, (void)dir, 0; }
static int f_remove(void *ud, const char *path) {
  (void)ud;
  int i = find(path);
  if (i < 0) return -ENOENT;
  files[i].used = false;
  return 0;
}
static int f_list(void *ud, const char *dir, bool (*fn)(void *fud, const char *name), void *fud) {
  (void)ud, (void)dir;
  for (int i = 0; i < FILES; i++)
    if (files[i].used && !fn(fud, files[i].name)) break;
  return 0;
}
static const msub__os os = { .open = f_open, .close = f_close, .size = f_size, .read = f_read, .write = f_write, .truncate = f_truncate, .sync = f_sync,
                             .sync_dir = f_sync_dir, .remove = f_remove, .list = f_list };

static void load(const uint8_t *data, size_t size) {
  size_t at = 2;
  unsigned n = size > 0 ? data[0] % (FILES - 1) : 0;
  for (unsigned i = 0; i < FILES; i++) files[i].used = false;
  for (unsigned i = 0; i < n && size >= at + 10; i++) {
    uint64_t first = 0;
    size_t len = data[at + 8] | (size_t)data[at + 9] << 8;
    for (int k = 0; k < 8; k++) first |= (uint64_t)data[at + (size_t)k] << (8 * k);
    at += 10;
    if (len > size - at) len = size - at;
    (void)snprintf(files[i].name, sizeof files[i].name, "%016llx.seg", (unsigned long long)first);
    files[i].n = len;
    files[i].used = true;
    memcpy(files[i].bytes, data + at, len);
    at += len;
    for (unsigned k = 0; k < i; k++)
      if (files[k].used && strcmp(files[k].name, files[i].name) == 0) files[i].used = false;
  }
}

static uint64_t read_all(msub__log *l, uint64_t *sum) {
  uint64_t first, next, good = 0;
  msub_bytes r;
  *sum = 0;
  msub__log_range(l, &first, &next);
  FUZZ_CHECK(first <= next);
  uint64_t end = next - first > 5000 ? first + 5000 : next; /* what names say need not be there */
  for (uint64_t i = first; i < end; i++) {
    int err = msub__log_read(l, i, &r);
    FUZZ_CHECK(err == MSUB_OK || err == MSUB_ERR_IO);
    if (err != MSUB_OK) continue;
    good++;
    for (size_t k = 0; k < r.n; k++) *sum = *sum * 31 + r.p[k];
  }
  FUZZ_CHECK(msub__log_read(l, next, &r) == MSUB_ERR_NOTFOUND);
  return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  msub_mem mem = msub__mem_default();
  uint8_t how = size > 1 ? data[1] : 0;
  msub__log_opts o = { .os = &os, .mem = &mem, .dir = "/log", .segment_bytes = 4096, .read_only = how & 1, .cut = how & 2, .durable = how & 4 ? how >> 4 : 0 };
  char why[300] = "";
  msub__log *l;
  uint64_t sum, again, first, next, offset;
  load(data, size);
  int err = msub__log_open(&o, &l, why, sizeof why);
  if (err != MSUB_OK) {
    FUZZ_CHECK(*why);
    return 0;
  }
  uint64_t good = read_all(l, &sum);
  msub__log_range(l, &first, &next);
  if (!o.read_only) {
    msub__log_close(l);
    o.durable = next; /* what was read is durable, and nothing is cut any more */
    FUZZ_CHECK(msub__log_open(&o, &l, why, sizeof why) == MSUB_OK);
    FUZZ_CHECK(read_all(l, &again) == good && again == sum);
    bool failed;
    msub__log_job job;
    msub_bytes r;
    if (next < UINT64_MAX - 1) {
      FUZZ_CHECK(msub__log_append(l, msub_str("more"), &offset) == MSUB_OK && offset == next);
      FUZZ_CHECK(msub__log_seal(l, &job) == MSUB_OK);
      msub__log_take(l, &job);
      bool written = msub__log_flush(l, &failed) == 0;
      msub__log_settle(l, &job, written);
      FUZZ_CHECK(msub__log_read(l, offset, &r) == MSUB_OK && msub_bytes_eq(r, msub_str("more")));
    }
  }
  msub__log_close(l);
  return 0;
}
