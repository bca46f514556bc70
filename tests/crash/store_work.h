/* tests/crash/store_work.h: work for a store whose result can be checked from any moment on.
 *
 * Batch i (from 1): key "at" = i, key "k<i mod 32>" = i and i bytes or so of i, and every fifth takes "k<(i + 7) mod 32>" away. Before every third batch
 * record i/3 - 1 of the log is appended and synced, and "log" = how many there are is part of the batch; now and then the log is
 * truncated. So from the number in "at" follows what everything else has to be. */
#ifndef MSUB_TESTS_CRASH_STORE_WORK_H
#define MSUB_TESTS_CRASH_STORE_WORK_H
#include "meshsub/store_disk.h"

enum { WORK_LOG_EVERY = 3, WORK_KEEP = 40 };

int work_submit(msub_store s, uint64_t i, uint64_t token); /* of the last call; what went wrong, or OK */
uint64_t work_records(uint64_t i);                         /* of the log, once batch i is there */
/* The number of the last batch that is there. Ends the process with a word when anything else is not as it says, when fewer batches
 * are there than `told` or more than `begun`, or fewer records than were told. */
uint64_t work_check(msub_store s, uint64_t told, uint64_t begun, const char *where);
_Noreturn void work_broken(const char *where, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
