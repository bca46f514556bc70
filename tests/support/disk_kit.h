/* tests/support/disk_kit.h: the store on disk as a kit of store_suite.h, in a folder of its own below /dev/shm or /tmp. */
#ifndef MSUB_TESTS_DISK_KIT_H
#define MSUB_TESTS_DISK_KIT_H
#include "meshsub/store_disk.h"
#include "count_mem.h"
#include "store_suite.h"

typedef struct disk_kit {
  store_kit kit; /* first: a store_kit * of it is one of these */
  char dir[64];
  msub_store_disk_opts o; /* for every open; o.mem counts in heap */
  count_mem heap;
  msub_mem mem;
  msub_store_disk *disk;
} disk_kit;

void disk_kit_init(disk_kit *d);   /* a new folder; small segments and a small map, so that both grow */
void disk_kit_remove(disk_kit *d); /* the folder */
int disk_kit_open(disk_kit *d, char *why); /* what is in the folder */
void remove_folder(const char *dir);
void copy_file(const char *from, const char *to);
void write_file(const char *path, const void *bytes, size_t n);
size_t read_file(const char *path, void *to, size_t room); /* aborts when it is not there */
#endif
