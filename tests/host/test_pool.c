/* tests/host/test_pool.c: the verification pool. usage: test_pool [CASE] */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include "check.h"
#include "host/pool.h"

#define JOBS 20000u

static size_t live; /* the loop's thread alone allocates: TSan would see another one */
static unsigned fail_in; /* the n-th allocation from now on fails; 0: none */
static void *count_alloc(void *ud, size_t n) {
  (void)ud;
  if (fail_in && --fail_in == 0) return NULL;
  void *p = malloc(n);
  if (p) live += n;
  return p;
}
static void count_free(void *ud, void *p, size_t n) {
  (void)ud;
  if (p) live -= n;
  free(p);
}
static const msub_mem mem = { count_alloc, count_free, NULL };

/* ---- sleeping until verdicts are told ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static unsigned told;
static void on_wake(void *ud) {
  (void)ud;
  (void)pthread_mutex_lock(&lock);
  told++;
  (void)pthread_cond_signal(&more);
  (void)pthread_mutex_unlock(&lock);
}
static void sleep_until_told(void) {
  (void)pthread_mutex_lock(&lock);
  while (told == 0) (void)pthread_cond_wait(&more, &lock);
  told = 0;
  (void)pthread_mutex_unlock(&lock);
}

/* ---- jobs ---- */

typedef struct work {
  unsigned ran; /* by one worker, read after its verdict: TSan sees when the hand-over is not one */
  bool recalled, answered;
} work;
static work works[JOBS];

static msub_verdict count_run(const void *arg, size_t n) {
  work *w = (work *)(uintptr_t)arg;
  w->ran++;
  return n % 3 == 0 ? MSUB_ACCEPT : n % 3 == 1 ? MSUB_REJECT : MSUB_IGNORE;
}
static msub_verdict expected(uint64_t i) {
  return i % 3 == 0 ? MSUB_ACCEPT : i % 3 == 1 ? MSUB_REJECT : MSUB_IGNORE;
}

/* A gate for jobs that have to be under way while the test looks. */
static atomic_uint waiting;
static atomic_bool open_gate;
static msub_verdict at_gate(const void *arg, size_t n) {
  (void)arg;
  (void)n;
  atomic_fetch_add(&waiting, 1);
  while (!atomic_load(&open_gate)) sleep_ms(1);
  return MSUB_ACCEPT;
}

static int submit(msub__pool *p, uint64_t i, msub_verdict (*fn)(const void *arg, size_t n)) {
  msub_job job = { .fn = fn, .arg = &works[i], .n = (size_t)i };
  return msub__pool_submit(p, 7 + i % 3, (msub_token){ i + 1 }, &job);
}
static bool recall(msub__pool *p, uint64_t i) { return msub__pool_recall(p, 7 + i % 3, (msub_token){ i + 1 }); }

static void take(const msub__verdict *v) {
  uint64_t i = v->token.v - 1;
  CHECK(i < JOBS && v->engine == 7 + i % 3);
  CHECK(!works[i].answered && !works[i].recalled && works[i].ran == 1 && v->verdict == expected(i));
  works[i].answered = true;
}

/* Jobs come in bursts, some are recalled; each one ends in exactly one of verdict and recall. */
static void run_many(unsigned threads, size_t room) {
  msub__pool *p;
  msub__verdict v;
  memset(works, 0, sizeof works);
  told = 0;
  MUST(msub__pool_new(&mem, threads, room, on_wake, NULL, &p));
  unsigned full = 0, recalled = 0, answered = 0;
  for (uint64_t i = 0; i < JOBS;) {
    for (unsigned burst = 0; burst < 100 && i < JOBS; burst++) {
      int err = submit(p, i, count_run);
      if (err == MSUB_ERR_LIMIT) {
        CHECK(msub__pool_inside(p) == room);
        full++;
        break;
      }
      MUST(err);
      if (i % 5 == 0 && i > 2 && recall(p, i - 2)) {
        works[i - 2].recalled = true;
        recalled++;
      }
      i++;
    }
    if (msub__pool_inside(p) == room) sleep_until_told();
    while (msub__pool_next(p, &v)) {
      take(&v);
      answered++;
    }
  }
  while (msub__pool_inside(p) > 0) {
    if (!msub__pool_next(p, &v)) {
      sleep_until_told();
      continue;
    }
    take(&v);
    answered++;
  }
  CHECK(answered + recalled == JOBS && !msub__pool_next(p, &v));
  for (unsigned i = 0; i < JOBS; i++) CHECK(works[i].answered != works[i].recalled && works[i].ran == works[i].answered);
  CHECK(!recall(p, 1)); /* not known */
  msub__pool_free(p);
  CHECK(live == 0);
  printf("%u threads, room for %zu: %u recalled, full %u times\n", threads, room, recalled, full);
}
static void test_many(void) {
  run_many(1, 4096);
  run_many(2, 4096);
  run_many(8, 4096);
  run_many(4, 64);
  run_many(2, 1);
}

/* Queued jobs can be recalled, running ones cannot; the places are free again. */
static void test_recall(void) {
  msub__pool *p;
  msub__verdict v;
  memset(works, 0, sizeof works);
  atomic_store(&open_gate, false);
  atomic_store(&waiting, 0);
  MUST(msub__pool_new(&mem, 1, 100, on_wake, NULL, &p));
  MUST(submit(p, 0, at_gate));
  UNTIL(sleep_ms(1), atomic_load(&waiting) == 1);
  for (uint64_t i = 1; i < 100; i++) MUST(submit(p, i, count_run));
  CHECK(submit(p, 100, count_run) == MSUB_ERR_LIMIT && msub__pool_inside(p) == 100);
  CHECK(!recall(p, 0));
  for (uint64_t i = 1; i < 100; i += 2) CHECK(recall(p, i) && !recall(p, i));
  CHECK(msub__pool_inside(p) == 50);
  for (uint64_t i = 1; i < 100; i += 2) MUST(submit(p, i, count_run)); /* the same tokens, again */
  CHECK(msub__pool_inside(p) == 100 && !msub__pool_next(p, &v));
  atomic_store(&open_gate, true);
  unsigned got = 0;
  while (got < 100) {
    if (msub__pool_next(p, &v)) got++;
    else sleep_until_told();
  }
  for (unsigned i = 1; i < 100; i++) CHECK(works[i].ran == 1);
  msub__pool_free(p);
  CHECK(live == 0);
}

/* The end while some run, some are queued and some are done: what runs is waited for, what is queued is never run. */
static void test_free(void) {
  for (unsigned round = 0; round < 20; round++) {
    msub__pool *p;
    memset(works, 0, sizeof works);
    atomic_store(&open_gate, false);
    atomic_store(&waiting, 0);
    told = 0;
    MUST(msub__pool_new(&mem, 2, 1000, on_wake, NULL, &p));
    if (round % 2) {
      MUST(submit(p, 0, count_run));
      sleep_until_told(); /* done, and never fetched */
    }
    MUST(submit(p, 1, at_gate));
    MUST(submit(p, 2, at_gate));
    UNTIL(sleep_ms(1), atomic_load(&waiting) == 2);
    for (uint64_t i = 3; i < 200; i++) MUST(submit(p, i, count_run));
    atomic_store(&open_gate, true);
    msub__pool_free(p);
    CHECK(live == 0);
  }
  msub__pool_free(NULL);
}

/* Threads are started one by one, none before there is a job, and none of them gets the program's signals. */
static atomic_uint signals;
static pthread_t loop;
static void on_signal(int number) {
  (void)number;
  if (pthread_equal(pthread_self(), loop)) atomic_fetch_add(&signals, 1);
}
static void test_threads(void) {
  msub__pool *p;
  loop = pthread_self();
  struct sigaction act = { .sa_handler = on_signal };
  CHECK(sigaction(SIGUSR1, &act, NULL) == 0);
  CHECK(msub__pool_new(&mem, 0, 10, on_wake, NULL, &p) == MSUB_ERR_INVAL);
  CHECK(msub__pool_new(&mem, 65, 10, on_wake, NULL, &p) == MSUB_ERR_INVAL);
  CHECK(msub__pool_new(&mem, 1, 0, on_wake, NULL, &p) == MSUB_ERR_INVAL);
  CHECK(msub__pool_new(&mem, 1, ((size_t)1 << 20) + 1, on_wake, NULL, &p) == MSUB_ERR_INVAL);
  atomic_store(&open_gate, false);
  atomic_store(&waiting, 0);
  MUST(msub__pool_new(&mem, 4, 1000, on_wake, NULL, &p));
  for (uint64_t i = 0; i < 10; i++) MUST(submit(p, i, at_gate));
  UNTIL(sleep_ms(1), atomic_load(&waiting) == 4); /* four at a time */
  for (unsigned i = 0; i < 100; i++) {
    CHECK(kill(getpid(), SIGUSR1) == 0);
    UNTIL(sleep_ms(1), atomic_load(&signals) > i);
  }
  CHECK(atomic_load(&waiting) == 4);
  atomic_store(&open_gate, true);
  msub__pool_free(p);
  CHECK(live == 0);
}

/* Without memory nothing happens, and it works afterwards. */
static void test_no_memory(void) {
  msub__pool *p;
  msub__verdict v;
  for (unsigned n = 1; n < 4; n++) {
    memset(works, 0, sizeof works);
    told = 0;
    fail_in = n;
    int err = msub__pool_new(&mem, 1, 10, on_wake, NULL, &p);
    CHECK(err == (n == 1 ? MSUB_ERR_NOMEM : MSUB_OK));
    if (err == MSUB_OK) {
      CHECK(submit(p, 0, count_run) == MSUB_ERR_NOMEM && msub__pool_inside(p) == 0 && !recall(p, 0));
      MUST(submit(p, 0, count_run));
      while (!msub__pool_next(p, &v)) sleep_until_told();
      take(&v);
      msub__pool_free(p);
    }
    fail_in = 0;
    CHECK(live == 0);
  }
}

/* Jobs with one function for many of them: one call has what waits, up to 64 of them, and nobody else's job in between. */
static unsigned batches, largest, in_batches;
static void count_many(const msub_bytes *args, size_t n, msub_verdict *verdicts) { /* of the one thread */
  batches++;
  in_batches += (unsigned)n;
  if (n > largest) largest = (unsigned)n;
  for (size_t i = 0; i < n; i++) verdicts[i] = count_run(args[i].p, args[i].n);
}
static void other_many(const msub_bytes *args, size_t n, msub_verdict *verdicts) { count_many(args, n, verdicts); }

static void test_batches(void) {
  msub__pool *p;
  msub__verdict v;
  memset(works, 0, sizeof works);
  atomic_store(&open_gate, false);
  atomic_store(&waiting, 0);
  MUST(msub__pool_new(&mem, 1, 1000, on_wake, NULL, &p));
  MUST(submit(p, 0, at_gate));
  UNTIL(sleep_ms(1), atomic_load(&waiting) == 1);
  for (uint64_t i = 1; i < 300; i++) { /* 199 of one function, then by turns one without, one with another */
    msub_job job = { .fn = count_run, .arg = &works[i], .n = (size_t)i, .many = i < 200 ? count_many : i % 2 ? NULL : other_many };
    MUST(msub__pool_submit(p, 7 + i % 3, (msub_token){ i + 1 }, &job));
  }
  CHECK(recall(p, 100));
  works[100].recalled = true;
  atomic_store(&open_gate, true);
  for (unsigned got = 0; got < 299;) {
    if (!msub__pool_next(p, &v)) {
      sleep_until_told();
      continue;
    }
    if (v.token.v != 1) take(&v); /* each verdict is that of its own bytes */
    got++;
  }
  CHECK(largest == MSUB__POOL_MANY && batches == 4 && in_batches == 198);
  msub__pool_free(p);
  CHECK(live == 0);
}

static const test_case cases[] = { { "batches", test_batches },
                                   { "many", test_many },
                                   { "recall", test_recall },
                                   { "free", test_free },
                                   { "threads", test_threads },
                                   { "no-memory", test_no_memory } };

int main(int argc, char **argv) { return run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
