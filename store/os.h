/* store/os.h: the file operations of the store on disk, in one table, so that a test can fail each of them, record them, or put a
 * file system in memory in their place. LMDB does its own.
 *
 * Everything answers ≥ 0, or -errno. Paths are whole; `dir` is a folder. */
#ifndef MSUB_STORE_OS_H
#define MSUB_STORE_OS_H
#include "meshsub/base.h"

typedef enum msub__os_mode { MSUB__OS_READ, MSUB__OS_WRITE, MSUB__OS_CREATE } msub__os_mode; /* WRITE: read as well; CREATE: made if need be, 0600 */

typedef struct msub__os {
  int (*open)(void *ud, const char *path, msub__os_mode mode); /* a descriptor */
  int (*close)(void *ud, int fd);
  int64_t (*size)(void *ud, int fd);
  /* May be short; 0: the end. */
  int64_t (*read)(void *ud, int fd, void *to, size_t n, uint64_t at);
  int64_t (*write)(void *ud, int fd, const void *from, size_t n, uint64_t at);
  int (*truncate)(void *ud, int fd, uint64_t size);
  int (*sync)(void *ud, int fd); /* what was written is on the disk */
  int (*uncache)(void *ud, int fd); /* what was read or written of it is read from the disk the next time, as far as it can be had */
  int (*sync_dir)(void *ud, const char *dir); /* so are the names in it */
  int (*make_dir)(void *ud, const char *dir); /* 0700; EEXIST */
  int (*remove)(void *ud, const char *path);
  int (*rename)(void *ud, const char *from, const char *to);
  /* The names in it but . and .., in any order, until fn answers false. */
  int (*list)(void *ud, const char *dir, bool (*fn)(void *fud, const char *name), void *fud);
  /* For as long as the descriptor is open, alone or with others that share it. EWOULDBLOCK: somebody else has it. */
  int (*lock)(void *ud, int fd, bool shared);
  bool (*alive)(void *ud, int64_t pid);
  int64_t (*pid)(void *ud);
  int64_t (*free_bytes)(void *ud, const char *dir); /* of the disk, for this user */
  void *ud;
} msub__os;

extern const msub__os msub__os_posix;

/* All n bytes, with as many calls as it takes. EIO: the file ended, or took nothing. */
int msub__os_read_all(const msub__os *os, int fd, void *to, size_t n, uint64_t at);
int msub__os_write_all(const msub__os *os, int fd, const void *from, size_t n, uint64_t at);

/* -errno as an error of ours: LIMIT: no room on the disk; NOMEM; IO: the others. */
int msub__os_err(int negative);
#endif
