/* tests/host/test_handoff.c: the queue between threads. usage: test_handoff [CASE] */
#include <pthread.h>
#include <stdatomic.h>
#include "check.h"
#include "host/transport/handoff.h"

#define THREADS 4u
#define NODES 64u     /* of a thread; each is put again and again */
#define ROUNDS 20000u /* puts of a thread */

/* A node is free for its thread when it was taken. */
typedef struct node {
  msub__hand hand;
  atomic_uint queued;
  unsigned thread, number; /* of its last put, written before it */
} node;
typedef struct putter {
  pthread_t thread;
  node nodes[NODES];
} putter;

static msub__handoff q;
static putter putters[THREADS];
static atomic_uint wakes;
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static unsigned told;

static void on_wake(void *ud) {
  (void)ud;
  atomic_fetch_add(&wakes, 1);
  (void)pthread_mutex_lock(&sleep_lock);
  told++;
  (void)pthread_cond_signal(&woken);
  (void)pthread_mutex_unlock(&sleep_lock);
}

static void *put_all(void *arg) {
  putter *p = arg;
  for (unsigned i = 0; i < ROUNDS; i++) {
    node *n = &p->nodes[i % NODES];
    while (atomic_load_explicit(&n->queued, memory_order_acquire)) sleep_ms(0);
    atomic_store_explicit(&n->queued, 1, memory_order_relaxed);
    n->number = i;
    n->hand.owner = n;
    msub__handoff_put(&q, &n->hand);
  }
  return NULL;
}

/* Everything once, each thread's in its order. Returns how many. */
static unsigned look(msub__hand *h, unsigned *next) {
  unsigned n = 0;
  while (h) {
    msub__hand *following = h->next; /* first: then its thread may put it again */
    node *at = h->owner;
    CHECK(at->number == next[at->thread]);
    next[at->thread]++;
    atomic_store_explicit(&at->queued, 0, memory_order_release);
    h = following;
    n++;
  }
  return n;
}

static void start(void) {
  for (unsigned t = 0; t < THREADS; t++) {
    for (unsigned i = 0; i < NODES; i++) putters[t].nodes[i].thread = t;
    CHECK(pthread_create(&putters[t].thread, NULL, put_all, &putters[t]) == 0);
  }
}
static void join(void) {
  for (unsigned t = 0; t < THREADS; t++) CHECK(pthread_join(putters[t].thread, NULL) == 0);
}

/* A taker that sleeps until it is woken finds everything: a wake that is missing would hang it. */
static void test_wake(void) {
  unsigned next[THREADS] = { 0 }, got = 0;
  MUST(msub__handoff_init(&q, on_wake, NULL));
  CHECK(msub__handoff_take(&q) == NULL);
  start();
  while (got < THREADS * ROUNDS) {
    (void)pthread_mutex_lock(&sleep_lock);
    while (told == 0) (void)pthread_cond_wait(&woken, &sleep_lock);
    told = 0;
    (void)pthread_mutex_unlock(&sleep_lock);
    got += look(msub__handoff_take(&q), next);
  }
  join();
  CHECK(msub__handoff_take(&q) == NULL && got == THREADS * ROUNDS);
  CHECK(atomic_load(&wakes) <= got);
  msub__handoff_fini(&q);
}

static void test_wait(void) {
  unsigned next[THREADS] = { 0 }, got = 0;
  MUST(msub__handoff_init(&q, NULL, NULL));
  start();
  while (got < THREADS * ROUNDS) {
    msub__hand *h = msub__handoff_wait(&q);
    CHECK(h);
    got += look(h, next);
  }
  join();
  CHECK(msub__handoff_take(&q) == NULL);
  msub__handoff_fini(&q);
}

/* One wake for what comes while something waits; the next after all was taken. */
static void test_one_wake(void) {
  node n[3] = { 0 };
  MUST(msub__handoff_init(&q, on_wake, NULL));
  unsigned before = atomic_load(&wakes);
  for (unsigned i = 0; i < 3; i++) msub__handoff_put(&q, &n[i].hand);
  CHECK(atomic_load(&wakes) == before + 1);
  msub__hand *h = msub__handoff_take(&q);
  CHECK(h == &n[0].hand && h->next == &n[1].hand && h->next->next == &n[2].hand && !n[2].hand.next);
  msub__handoff_put(&q, &n[1].hand);
  CHECK(atomic_load(&wakes) == before + 2 && msub__handoff_take(&q) == &n[1].hand);
  msub__handoff_fini(&q);
}

static const test_case cases[] = { { "wake", test_wake }, { "wait", test_wait }, { "one-wake", test_one_wake } };

int main(int argc, char **argv) { return run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
