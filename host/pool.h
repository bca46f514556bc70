/* host/pool.h: threads that verify messages. The loop submits jobs (pure functions over pinned bytes) and fetches verdicts.
 *
 *   submit ──▶ queued ── a worker takes up to 8 (64) ──▶ running ──▶ done ── next ──▶ (token, verdict)
 *                └─ recall ──▶ gone, no verdict follows
 *
 * All calls are made on the loop's thread; the allocator is used there only. Workers touch a job's bytes and the pool's lock,
 * nothing else. Threads are started one by one while jobs come in faster than the idle ones take them. */
#ifndef MSUB_HOST_POOL_H
#define MSUB_HOST_POOL_H
#include "meshsub/world.h"

#define MSUB__POOL_BATCH 8 /* jobs that a worker takes at once */
#define MSUB__POOL_MANY 64 /* of those that have one function for many of them (msub_job.many), and are run by one call */

typedef struct msub__pool msub__pool;
typedef struct msub__verdict {
  uint64_t engine; /* the word given to submit */
  msub_token token;
  msub_verdict verdict;
} msub__verdict;

/* threads: 1 … 64 at most. jobs: how many may be inside at a time: queued, running, or done and not fetched; 1 … 2^20.
 * wake(wake_ud) is called on a worker's thread when verdicts come in and none were waiting. INVAL, NOMEM. No thread runs yet. */
MSUB_MUST int msub__pool_new(const msub_mem *mem, unsigned threads, size_t jobs, void (*wake)(void *ud), void *wake_ud,
                             msub__pool **out);
/* Waits for the jobs that run, joins the threads; what is queued is never run, what is done is forgotten. NULL is fine. */
void msub__pool_free(msub__pool *p);
/* (engine, token) must not be inside already. LIMIT: full. NOMEM. IO: there is no thread and none could be started. On an error
 * nothing happened. */
MSUB_MUST int msub__pool_submit(msub__pool *p, uint64_t engine, msub_token token, const msub_job *job);
/* true: it was still queued; it will not run, no verdict follows and its bytes are the caller's again. false: a worker has it,
 * or it is done, and its verdict comes from next(); or it is not known. Never blocks for longer than a worker holds the lock. */
bool msub__pool_recall(msub__pool *p, uint64_t engine, msub_token token);
/* Fetches one verdict, in the order in which they were reached; false: none now. */
bool msub__pool_next(msub__pool *p, msub__verdict *out);
size_t msub__pool_inside(const msub__pool *p); /* submitted, not fetched and not recalled */
#endif
