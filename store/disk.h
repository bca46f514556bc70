/* store/disk.h: what tests may do to a store on disk that programs may not. */
#ifndef MSUB_STORE_DISK_PRIVATE_H
#define MSUB_STORE_DISK_PRIVATE_H
#include "meshsub/store_disk.h"
#include "store/os.h"

/* As msub_store_disk_open(), with other file operations for everything but LMDB's. *os must outlive it. */
int msub__store_disk_open(const msub_store_disk_opts *o, const msub__os *os, msub_store_disk **out, char *why);
/* As if the process had been killed between two writes: what waits is lost, nothing is closed properly. */
void msub__store_disk_abandon(msub_store_disk *d);
/* As long as it is on the thread begins nothing new. */
void msub__store_disk_hold(msub_store_disk *d, bool on);
#endif
