#define _GNU_SOURCE /* nftw */
#include "disk_kit.h"
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "store/disk.h"

static msub_now clock_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (msub_now){ (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, 0 };
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f) {
  (void)st, (void)flag, (void)f;
  return remove(path);
}

void remove_folder(const char *dir) { (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

void write_file(const char *path, const void *bytes, size_t n) {
  FILE *f = fopen(path, "wb");
  STORE_CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

size_t read_file(const char *path, void *to, size_t room) {
  FILE *f = fopen(path, "rb");
  STORE_CHECK(f);
  size_t n = fread(to, 1, room, f);
  (void)fclose(f);
  return n;
}

void copy_file(const char *from, const char *to) {
  static uint8_t bytes[1 << 16];
  FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
  STORE_CHECK(in && out);
  for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;) STORE_CHECK(fwrite(bytes, 1, n, out) == n);
  STORE_CHECK(fclose(in) == 0 && fclose(out) == 0);
}

int disk_kit_open(disk_kit *d, char *why) {
  int err = msub_store_disk_open(&d->o, &d->disk, why);
  if (err == MSUB_OK) d->kit.store = msub_store_disk_store(d->disk);
  return err;
}

static disk_kit *of(store_kit *k) { return (disk_kit *)(void *)k; }

static void kit_open(store_kit *k) {
  char why[MSUB_STORE_WHY];
  remove_folder(of(k)->dir);
  if (disk_kit_open(of(k), why) != MSUB_OK) store_broken(why, __FILE__, __LINE__);
}

static void kit_crash(store_kit *k) {
  char why[MSUB_STORE_WHY];
  msub__store_disk_abandon(of(k)->disk);
  if (disk_kit_open(of(k), why) != MSUB_OK) store_broken(why, __FILE__, __LINE__);
}

static void kit_close(store_kit *k) {
  STORE_CHECK(msub_store_disk_free(of(k)->disk) == MSUB_OK);
  of(k)->disk = NULL;
  STORE_CHECK(of(k)->heap.live_bytes == 0);
  remove_folder(of(k)->dir);
}

static void kit_turn(store_kit *k) {
  struct pollfd p = { .fd = msub_store_disk_fd(of(k)->disk), .events = POLLIN };
  uint64_t at = k->store.ops->next_deadline(k->store.s);
  msub_now now;
  if (at == MSUB_NEVER) (void)poll(&p, 1, k->n_told < 4096 ? 2 : 0);
  now = clock_now();
  k->store.ops->turn(k->store.s, &now);
}

void disk_kit_init(disk_kit *d) {
  memset(d, 0, sizeof *d);
  d->kit = (store_kit){ .open = kit_open, .crash = kit_crash, .close = kit_close, .turn = kit_turn };
  /* Where syncs cost nothing, if there is such a place: it is not the disk that is tested. */
  (void)snprintf(d->dir, sizeof d->dir, "%s/meshsub-store-%ld-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (long)getpid());
  STORE_CHECK(mkdtemp(d->dir));
  msub_store_disk_opts_init(&d->o);
  d->mem = count_mem_of(&d->heap);
  d->o.mem = &d->mem;
  d->o.dir = d->dir;
  d->o.map_bytes = 256 << 10;
  d->o.segment_bytes = 4096;
}

void disk_kit_remove(disk_kit *d) { remove_folder(d->dir); }
