/* tests/crash/syscalls.h: the file operations of this whole process, LMDB's too, pass through here: recorded with their data, or made to fail.
 *
 * The program defines open(), pwrite(), fdatasync(), …; the dynamic linker then gives these to liblmdb.so as well. Only files below the watched
 * folder count. */
#ifndef MSUB_TESTS_CRASH_SYSCALLS_H
#define MSUB_TESTS_CRASH_SYSCALLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum sys_kind { SYS_OPEN, SYS_CREATE, SYS_WRITE, SYS_SYNC, SYS_TRUNCATE, SYS_REMOVE, SYS_SYNC_DIR, SYS_MARK } sys_kind;

typedef struct sys_op {
  sys_kind kind;
  unsigned file;   /* sys_file_name() */
  uint64_t at, n;  /* of a write; TRUNCATE: at is the size; MARK: both are the caller's */
  uint8_t *bytes;  /* of a write */
  bool synced;     /* a write through a descriptor that syncs by itself */
} sys_op;

void sys_watch(const char *folder); /* begins anew; NULL: nothing is watched */
void sys_record(bool on);
const sys_op *sys_ops(size_t *n);
const char *sys_file_name(unsigned file); /* below the folder */
void sys_mark(uint64_t a, uint64_t b);    /* between two operations */
void sys_forget(void);

/* The n-th operation from now on that is counted fails (1: the next one), and with `all` every one behind it. err: errno; 0: a write takes
 * half of its bytes. n == 0: none. */
void sys_fail(uint64_t n, int err, bool all);
uint64_t sys_counted(void); /* since sys_fail() */
uint64_t sys_failed(void);
#endif
