/* store/folder.h: the folder of a store on disk: whose it is, of which version, and who has it open.
 *
 *   lock          locked as long as somebody has it open (alone, or shared by those who only read), so what a killed process left is
 *                 taken over; the pid of who writes, for people. Empty: it was closed properly
 *   version.new   it is being made: whatever else is there was never used
 *   version       "meshsub store 1": it was made */
#ifndef MSUB_STORE_FOLDER_H
#define MSUB_STORE_FOLDER_H
#include "store/os.h"

#define MSUB__FOLDER_PATH 1000u

typedef struct msub__folder {
  const msub__os *os;
  const char *dir;
  int fd;       /* of the lock; -1: there is none (read-only, and it cannot be had) */
  bool read_only;
  bool making;  /* to be ended by msub__folder_made() */
  bool mine;    /* its pid stands in the lock */
  bool unclean; /* who had it before did not close it */
} msub__folder;

/* As msub_store_disk_open(). `dir` must stay. */
int msub__folder_open(msub__folder *f, const msub__os *os, const char *dir, bool must_exist, bool read_only, char *why);
int msub__folder_made(msub__folder *f, char *why);
void msub__folder_close(msub__folder *f, bool clean);
#endif
