/* tests/fuzz/fuzz_store_lmdb.c: damage to data.mdb. Byte 0: which of four files, made when the program starts; byte 1: how many 256 bytes are cut off its
 * end; then patches of 13 bytes: position (4), how many bytes (1; 1 to 8), the bytes. What the check lets pass LMDB reads, and writes to,
 * without a crash, and every value that is read is one that was stored. */
#define _GNU_SOURCE /* mkdtemp */
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "meshsub/store_disk.h"
#include "store/lmdb.h"
#include "tests/fuzz/fuzz.h"

enum { FILES = 4, SIZE = 6 << 20 };
static struct { uint8_t *bytes; size_t n; } files[FILES];
static uint8_t now_bytes[SIZE];
static char dir[64], path[96];

static size_t value_of(unsigned i, unsigned file, uint8_t out[12000]) {
  size_t n = file == 0 ? 5 : file == 1 ? i % 90 : file == 2 ? (i % 3 ? 9000 + i : 30) : 8000;
  memset(out, (int)(i * 7 + file), n);
  return n;
}

static void put(msub_store s, unsigned i, unsigned file, bool gone) {
  static uint8_t value[12000];
  char key[32];
  (void)snprintf(key, sizeof key, "key %u", i);
  msub_store_op op = { !gone, msub_str(key), { value, value_of(i, file, value) } };
  while (s.ops->submit(s.s, &op, 1, (msub_token){ 1 }) != MSUB_OK) {
    msub_now now = { 1, 0 };
    s.ops->turn(s.s, &now);
  }
}

static void make(unsigned file) {
  static const unsigned counts[FILES] = { 3, 700, 60, 520 };
  msub_store_disk *d;
  msub_store_disk_opts o;
  msub_store_disk_opts_init(&o);
  o.dir = dir;
  for (unsigned round = 0; round < 3; round++) { /* each open and free is a transaction at least */
    FUZZ_CHECK(msub_store_disk_open(&o, &d, NULL) == MSUB_OK);
    msub_store s = msub_store_disk_store(d);
    for (unsigned i = 0; i < counts[file]; i++)
      if (round == 0 || (file > 0 && i % 4 == round)) put(s, i, file, round > 0);
    if (file == 3 && round == 1)
      for (unsigned i = 0; i < counts[file]; i++) put(s, i, file, i > 3); /* a long list of free pages */
    FUZZ_CHECK(msub_store_disk_free(d) == MSUB_OK);
  }
  FILE *f = fopen(path, "rb");
  FUZZ_CHECK(f);
  files[file].n = fread(now_bytes, 1, SIZE, f);
  (void)fclose(f);
  FUZZ_CHECK(files[file].n < SIZE && (files[file].bytes = malloc(files[file].n)));
  memcpy(files[file].bytes, now_bytes, files[file].n);
  char other[96];
  static const char *const names[] = { "data.mdb", "lock.mdb", "lock", "version" };
  for (unsigned i = 0; i < 4; i++) {
    (void)snprintf(other, sizeof other, "%s/%s", dir, names[i]);
    (void)unlink(other);
  }
  (void)snprintf(other, sizeof other, "%s/log", dir);
  (void)rmdir(other);
}

static void clean(void) {
  (void)unlink(path);
  char other[96];
  (void)snprintf(other, sizeof other, "%s/lock.mdb", dir);
  (void)unlink(other);
  (void)rmdir(dir);
}

static void begin(void) {
  (void)snprintf(dir, sizeof dir, "%s/meshsub-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  FUZZ_CHECK(mkdtemp(dir));
  (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
  for (unsigned i = 0; i < FILES; i++) make(i);
  (void)atexit(clean);
}

static void read_all(msub__table *t, unsigned file) {
  static uint8_t want[12000];
  msub_bytes key, value;
  unsigned n = 0;
  for (int err = msub__table_seek(t, (msub_bytes){ NULL, 0 }, &key, &value); err == MSUB_OK || err == MSUB_ERR_MALFORMED; err = msub__table_next(t, &key, &value)) {
    FUZZ_CHECK(++n < 100000 && key.n <= MSUB_STORE_KEY_MAX);
    char text[32] = "";
    if (err != MSUB_OK || key.n >= sizeof text || key.n < 5) continue;
    memcpy(text, key.p, key.n);
    FUZZ_CHECK(memcmp(text, "key ", 4) == 0 && msub_bytes_eq(value, (msub_bytes){ want, value_of((unsigned)strtoul(text + 4, NULL, 10), file, want) }));
  }
  msub__table_release(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!files[0].n) begin();
  char why[MSUB_STORE_WHY] = "";
  msub_mem mem = msub__mem_default();
  msub__table *t;
  unsigned file = size > 0 ? data[0] % FILES : 0;
  size_t n = files[file].n, cut = size > 1 ? data[1] * (size_t)256 : 0;
  memcpy(now_bytes, files[file].bytes, n);
  for (size_t at = 2; at + 13 <= size; at += 13) {
    size_t to = (data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16 | (size_t)data[at + 3] << 24) % n, m = 1 + data[at + 4] % 8;
    if (m <= n - to) memcpy(now_bytes + to, data + at + 5, m);
  }
  n = cut < n ? n - cut : 0;
  FILE *f = fopen(path, "wb");
  FUZZ_CHECK(f && fwrite(now_bytes, 1, n, f) == n && fclose(f) == 0);
  (void)msub__lmdb_is_long_enough(&msub__os_posix, path);
  int err = msub__lmdb_check(&msub__os_posix, &mem, path, why, sizeof why);
  FUZZ_CHECK((err == MSUB_OK) == !*why);
  if (err != MSUB_OK) return 0;
  msub__table_opts o = { .dir = dir, .map_bytes = 8 << 20, .max_bytes = 16 << 20 };
  if (msub__table_open(&o, &t, why, sizeof why) != MSUB_OK) return 0;
  read_all(t, file);
  if (msub__table_commit(t, NULL, 0, 7, why) == MSUB__COMMITTED) read_all(t, file);
  msub__table_close(t);
  return 0;
}
