/* host/pool.c. A job lives in a slot from submit to fetch. Which list a slot is on, and its place there, belongs to the lock;
 * who may look at the rest follows from the list:
 *
 *   free (loop) ──▶ queued (lock) ──▶ running (its worker, by copy) ──▶ done (lock) ──▶ fetched (loop) ──▶ free
 *
 * The array of slots moves when it grows, so workers hold numbers and copies, never pointers into it. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include "base/assert.h"
#include "base/mem.h"
#include "base/table.h"
#include "host/pool.h"

#define FIRST_SLOTS 64u
#define MAX_JOBS (UINT32_C(1) << 20)
#define MAX_THREADS 64u

typedef struct slot {
  uint64_t engine;
  msub_token token;
  msub_job job;
  uint32_t next, prev; /* prev: of a queued slot only */
  msub_verdict verdict;
  bool queued;
} slot;
typedef struct chain { uint32_t first, last; } chain; /* of slots, by number */

struct msub__pool {
  msub_mem mem;
  void (*wake)(void *ud);
  void *wake_ud;
  uint32_t max_jobs;
  unsigned max_threads;
  pthread_t threads[MAX_THREADS];
  /* The loop's. */
  msub__table by_token;
  uint32_t free, inside;
  chain fetched;
  /* Under the lock. */
  pthread_mutex_t lock;
  pthread_cond_t work;
  slot *slots; /* moved by the loop with the lock held, so the loop may read the pointer without it */
  uint32_t n_slots, n_queued;
  chain queued, done;
  unsigned n_threads, idle;
  bool stop;
};

static const chain NOTHING = { MSUB__NONE, MSUB__NONE };

static void append(slot *slots, chain *c, uint32_t i) {
  slots[i].next = MSUB__NONE;
  slots[i].prev = c->last;
  if (c->last == MSUB__NONE) c->first = i;
  else slots[c->last].next = i;
  c->last = i;
}

static void unlink_slot(slot *slots, chain *c, uint32_t i) {
  uint32_t next = slots[i].next, prev = slots[i].prev;
  if (prev == MSUB__NONE) c->first = next;
  else slots[prev].next = next;
  if (next == MSUB__NONE) c->last = prev;
  else slots[next].prev = prev;
}

/* Workers ----------------------------------------------------------------------------------------------------------- */

/* Jobs are shared out: with few of them in front of many threads each takes one. All that are taken have the same `many`. */
static unsigned take(msub__pool *p, uint32_t *which, msub_job *jobs) {
  uint32_t share = (p->n_queued + p->n_threads - 1) / p->n_threads;
  unsigned most = p->slots[p->queued.first].job.many ? MSUB__POOL_MANY : MSUB__POOL_BATCH, n = 0;
  while (n < most && n < share) {
    uint32_t i = p->queued.first;
    if (n && p->slots[i].job.many != jobs[0].many) break;
    unlink_slot(p->slots, &p->queued, i);
    p->slots[i].queued = false;
    which[n] = i;
    jobs[n++] = p->slots[i].job;
  }
  p->n_queued -= n;
  return n;
}

static void run(const msub_job *jobs, unsigned n, msub_verdict *verdicts) {
  msub_bytes args[MSUB__POOL_MANY];
  if (n == 1 || !jobs[0].many) {
    for (unsigned k = 0; k < n; k++) verdicts[k] = jobs[k].fn(jobs[k].arg, jobs[k].n);
    return;
  }
  for (unsigned k = 0; k < n; k++) args[k] = (msub_bytes){ jobs[k].arg, jobs[k].n };
  jobs[0].many(args, n, verdicts);
}

static void *worker(void *arg) {
  msub__pool *p = arg;
  uint32_t which[MSUB__POOL_MANY];
  msub_job jobs[MSUB__POOL_MANY];
  msub_verdict verdicts[MSUB__POOL_MANY];
  (void)pthread_mutex_lock(&p->lock);
  for (;;) {
    while (!p->stop && p->n_queued == 0) {
      p->idle++;
      (void)pthread_cond_wait(&p->work, &p->lock);
      p->idle--;
    }
    if (p->stop) break;
    unsigned n = take(p, which, jobs);
    (void)pthread_mutex_unlock(&p->lock);
    run(jobs, n, verdicts);
    (void)pthread_mutex_lock(&p->lock);
    bool first = p->done.first == MSUB__NONE;
    for (unsigned k = 0; k < n; k++) {
      p->slots[which[k]].verdict = verdicts[k];
      append(p->slots, &p->done, which[k]);
    }
    if (first) {
      (void)pthread_mutex_unlock(&p->lock);
      p->wake(p->wake_ud);
      (void)pthread_mutex_lock(&p->lock);
    }
  }
  (void)pthread_mutex_unlock(&p->lock);
  return NULL;
}

/* Signals are the program's business; a worker must not be the thread that gets them. */
static bool start_thread(msub__pool *p) {
  sigset_t all, before;
  (void)sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
  bool ok = pthread_create(&p->threads[p->n_threads], NULL, worker, p) == 0;
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return ok;
}

/* The loop ---------------------------------------------------------------------------------------------------------- */

typedef struct key { uint64_t engine, token; } key;

/* Both words are made by us, so nobody can choose them to collide: mixing is enough, no secret. */
static uint64_t hash_of(key k) {
  uint64_t x = k.token + k.engine * UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static bool same(const void *ctx, uint32_t i, const void *wanted) {
  const slot *s = &((const msub__pool *)ctx)->slots[i];
  const key *k = wanted;
  return s->engine == k->engine && s->token.v == k->token;
}

static void release(msub__pool *p, uint32_t i) {
  slot *s = &p->slots[i];
  (void)msub__table_remove(&p->by_token, hash_of((key){ s->engine, s->token.v }), i);
  s->next = p->free;
  p->free = i;
  p->inside--;
}

static int grow(msub__pool *p) {
  uint32_t n = p->n_slots ? p->n_slots * 2 : FIRST_SLOTS;
  if (n > p->max_jobs) n = p->max_jobs;
  if (n == p->n_slots) return MSUB_ERR_LIMIT;
  slot *slots = msub__zalloc(&p->mem, n, sizeof *slots);
  if (!slots) return MSUB_ERR_NOMEM;
  for (uint32_t i = n; i-- > p->n_slots;) {
    slots[i].next = p->free;
    p->free = i;
  }
  slot *old = p->slots;
  uint32_t n_old = p->n_slots;
  (void)pthread_mutex_lock(&p->lock);
  if (n_old) memcpy(slots, old, n_old * sizeof *slots);
  p->slots = slots;
  p->n_slots = n;
  (void)pthread_mutex_unlock(&p->lock);
  msub__free(&p->mem, old, n_old * sizeof *old);
  return MSUB_OK;
}

int msub__pool_new(const msub_mem *mem, unsigned threads, size_t jobs, void (*wake)(void *ud), void *wake_ud,
                   msub__pool **out) {
  if (threads < 1 || threads > MAX_THREADS || jobs < 1 || jobs > MAX_JOBS || !wake) return MSUB_ERR_INVAL;
  msub_mem m = mem ? *mem : msub__mem_default();
  msub__pool *p = msub__zalloc(&m, 1, sizeof *p);
  if (!p) return MSUB_ERR_NOMEM;
  p->mem = m;
  p->wake = wake;
  p->wake_ud = wake_ud;
  p->max_jobs = (uint32_t)jobs;
  p->max_threads = threads;
  p->free = MSUB__NONE;
  p->fetched = p->queued = p->done = NOTHING;
  if (pthread_mutex_init(&p->lock, NULL) != 0) {
    msub__free(&m, p, sizeof *p);
    return MSUB_ERR_NOMEM;
  }
  if (pthread_cond_init(&p->work, NULL) != 0) {
    (void)pthread_mutex_destroy(&p->lock);
    msub__free(&m, p, sizeof *p);
    return MSUB_ERR_NOMEM;
  }
  *out = p;
  return MSUB_OK;
}

void msub__pool_free(msub__pool *p) {
  if (!p) return;
  (void)pthread_mutex_lock(&p->lock);
  p->stop = true;
  (void)pthread_cond_broadcast(&p->work);
  (void)pthread_mutex_unlock(&p->lock);
  for (unsigned i = 0; i < p->n_threads; i++) (void)pthread_join(p->threads[i], NULL);
  (void)pthread_cond_destroy(&p->work);
  (void)pthread_mutex_destroy(&p->lock);
  msub_mem m = p->mem;
  msub__table_fini(&p->by_token, &m);
  msub__free(&m, p->slots, p->n_slots * sizeof *p->slots);
  msub__free(&m, p, sizeof *p);
}

int msub__pool_submit(msub__pool *p, uint64_t engine, msub_token token, const msub_job *job) {
  if (p->free == MSUB__NONE) {
    int err = grow(p);
    if (err) return err;
  }
  int err = msub__table_reserve(&p->by_token, &p->mem);
  if (err) return err;
  uint32_t i = p->free;
  slot *s = &p->slots[i];
  uint32_t next_free = s->next;
  s->engine = engine;
  s->token = token;
  s->job = *job;
  (void)pthread_mutex_lock(&p->lock);
  if (p->n_queued >= p->idle && p->n_threads < p->max_threads) {
    if (start_thread(p)) {
      p->n_threads++;
    } else if (p->n_threads == 0) {
      (void)pthread_mutex_unlock(&p->lock);
      return MSUB_ERR_IO;
    } else {
      p->max_threads = p->n_threads; /* there are some: go on with these */
    }
  }
  s->queued = true;
  append(p->slots, &p->queued, i);
  p->n_queued++;
  if (p->idle > 0) (void)pthread_cond_signal(&p->work);
  (void)pthread_mutex_unlock(&p->lock);
  p->free = next_free;
  p->inside++;
  err = msub__table_insert(&p->by_token, &p->mem, hash_of((key){ engine, token.v }), i);
  MSUB__INVARIANT(err == MSUB_OK); /* room was made above */
  return MSUB_OK;
}

bool msub__pool_recall(msub__pool *p, uint64_t engine, msub_token token) {
  key k = { engine, token.v };
  uint32_t i = msub__table_find(&p->by_token, hash_of(k), same, p, &k);
  if (i == MSUB__NONE) return false;
  (void)pthread_mutex_lock(&p->lock);
  bool queued = p->slots[i].queued;
  if (queued) {
    unlink_slot(p->slots, &p->queued, i);
    p->slots[i].queued = false;
    p->n_queued--;
  }
  (void)pthread_mutex_unlock(&p->lock);
  if (queued) release(p, i);
  return queued;
}

bool msub__pool_next(msub__pool *p, msub__verdict *out) {
  if (p->inside == 0) return false;
  if (p->fetched.first == MSUB__NONE) {
    (void)pthread_mutex_lock(&p->lock);
    p->fetched = p->done;
    p->done = NOTHING;
    (void)pthread_mutex_unlock(&p->lock);
    if (p->fetched.first == MSUB__NONE) return false;
  }
  uint32_t i = p->fetched.first;
  const slot *s = &p->slots[i];
  *out = (msub__verdict){ .engine = s->engine, .token = s->token, .verdict = s->verdict };
  p->fetched.first = s->next;
  release(p, i);
  return true;
}

size_t msub__pool_inside(const msub__pool *p) { return p->inside; }
