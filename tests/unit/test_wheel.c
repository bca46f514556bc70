#include <criterion/criterion.h>
#include "base/mem.h"
#include "base/rng.h"
#include "base/wheel.h"
#include "count_mem.h"

/* A wheel beside a plain array that knows the right answers. */
enum { TIMERS = 500, FEW = 32 };
typedef struct model_timer {
  msub__timer t;
  uint64_t deadline, order;
  bool running;
} model_timer;
static model_timer timers[TIMERS];
static msub__wheel *wheel;
static msub__rng rng;
static uint64_t now, order, fired;
static bool crowded; /* more than FEW have run at a time: the wheel has made its slots */

static int running(void) {
  int n = 0;
  for (int i = 0; i < TIMERS; i++) n += timers[i].running;
  return n;
}

static void start(model_timer *t, uint64_t deadline) {
  msub__timer_start(wheel, &t->t, deadline);
  t->deadline = deadline;
  t->order = order++;
  t->running = true;
  crowded |= deadline > now && running() > FEW;
}

static void stop(model_timer *t) {
  msub__timer_stop(wheel, &t->t);
  t->running = false;
}

static model_timer *earliest(void) {
  model_timer *best = NULL;
  for (int i = 0; i < TIMERS; i++) {
    model_timer *t = &timers[i];
    if (!t->running) continue;
    if (!best || t->deadline < best->deadline || (t->deadline == best->deadline && t->order < best->order))
      best = t;
  }
  return best;
}

/* Spans of every level of the wheel, the past, and exact tick borders. */
static uint64_t some_deadline(void) {
  static const uint8_t bits[] = { 0, 22, 22, 22, 30, 30, 36, 36, 46, 56 };
  uint64_t span = UINT64_C(1) << bits[msub__rng_below(&rng, sizeof bits)];
  uint64_t d = msub__rng_u64(&rng) % span;
  if (msub__rng_below(&rng, 8) == 0) return now > d ? now - d : 0;
  if (msub__rng_below(&rng, 4) == 0) return (now + d) >> 20 << 20;
  return now + d;
}

static void on_fire(msub__timer *t) {
  model_timer *mine = MSUB__OF(t, model_timer, t);
  cr_assert_eq(mine, earliest(), "fired out of order");
  cr_assert_leq(mine->deadline, now, "fired too early");
  cr_assert_not(msub__timer_running(t));
  mine->running = false;
  fired++;
  switch (msub__rng_below(&rng, 6)) {
  case 0: start(mine, some_deadline()); break;
  case 1: start(&timers[msub__rng_below(&rng, TIMERS)], some_deadline()); break;
  case 2: stop(&timers[msub__rng_below(&rng, TIMERS)]); break;
  default: break;
  }
}

static void check_next(void) {
  const model_timer *e = earliest();
  cr_assert_eq(msub__wheel_next(wheel), e ? e->deadline : MSUB_NEVER, "next deadline is not exact");
}

static void one_step(uint32_t used) {
  model_timer *t = &timers[msub__rng_below(&rng, used)];
  uint32_t kind = msub__rng_below(&rng, 10);
  if (kind < 5) {
    start(t, some_deadline());
  } else if (kind < 6) {
    stop(t);
  } else if (kind < 8) {
    uint64_t to = some_deadline();
    now = to > now ? to : now;
    bool more =
        msub__wheel_advance(wheel, now, msub__rng_below(&rng, 3) ? UINT32_MAX : msub__rng_below(&rng, 5));
    const model_timer *e = earliest();
    cr_assert_eq(more, e && e->deadline <= now);
  } else {
    check_next();
    const model_timer *e = earliest();
    if (kind == 9 && e && e->deadline > now) {
      now = e->deadline;
      msub__wheel_advance(wheel, now, UINT32_MAX);
    }
  }
  for (int i = 0; i < TIMERS; i++) cr_assert_eq(timers[i].running, msub__timer_running(&timers[i].t));
}

Test(wheel, against_a_model) {
  count_mem heap = { 0 };
  msub_mem m = count_mem_of(&heap);
  unsigned grown = 0;
  for (uint64_t seed = 0; seed < 120; seed++) {
    msub__rng_init(&rng, seed, 1);
    now = msub__rng_u64(&rng) >> (4 + msub__rng_below(&rng, 30));
    order = 0;
    crowded = false;
    wheel = msub__wheel_new(&m, now);
    for (int i = 0; i < TIMERS; i++) {
      timers[i] = (model_timer){ .running = false };
      msub__timer_init(&timers[i].t, on_fire);
    }
    /* Every third run stays below the number of timers for which slots are made. */
    for (int i = 0; i < 1500; i++) {
      one_step(seed % 3 == 0 ? 12 : TIMERS);
      cr_assert_eq(heap.live_blocks, crowded ? 2 : 1, "the wheel counts its timers: slots with the 33rd, not before");
    }
    grown += crowded;
    msub__wheel_free(wheel);
    cr_assert_eq(heap.live_bytes, 0);
  }
  cr_assert_gt(fired, 50000);
  cr_assert(grown > 0 && grown < 120, "%u", grown);
}

/* ---- single properties ---- */

static int order_seen[8], seen_count;
typedef struct numbered {
  msub__timer t;
  int number;
} numbered;
static void note(msub__timer *t) { order_seen[seen_count++] = MSUB__OF(t, numbered, t)->number; }

Test(wheel, order_limit_and_edges) {
  msub_mem m = msub__mem_default();
  wheel = msub__wheel_new(&m, 0);
  numbered t[4];
  for (int i = 0; i < 4; i++) {
    t[i].number = i;
    msub__timer_init(&t[i].t, note);
  }
  cr_assert_eq(msub__wheel_next(wheel), MSUB_NEVER);
  cr_assert_not(msub__wheel_advance(wheel, 10, 0));

  /* Equal deadlines in order of their start; the limit leaves the rest for later. */
  msub__timer_start(wheel, &t[2].t, 100);
  msub__timer_start(wheel, &t[0].t, 100);
  msub__timer_start(wheel, &t[1].t, 50);
  cr_assert_not(msub__wheel_advance(wheel, 49, 10), "nothing before its time");
  cr_assert(msub__wheel_advance(wheel, 100, 2));
  cr_assert_eq(msub__wheel_next(wheel), 100);
  cr_assert_not(msub__wheel_advance(wheel, 100, 2));
  cr_assert(seen_count == 3 && order_seen[0] == 1 && order_seen[1] == 2 && order_seen[2] == 0);

  /* Started in the past: due at the next advance, even one that moves no time. Moved: only the last deadline
   * counts. */
  msub__timer_start(wheel, &t[3].t, 7);
  cr_assert_eq(msub__wheel_next(wheel), 7);
  msub__timer_start(wheel, &t[3].t, 300);
  cr_assert_not(msub__wheel_advance(wheel, 299, 10));
  cr_assert_eq(seen_count, 3);
  msub__timer_start(wheel, &t[3].t, MSUB_NEVER);
  cr_assert_not(msub__timer_running(&t[3].t));
  msub__timer_stop(wheel, &t[3].t);

  /* G-02: a clock near its end. The latest deadline there is fires, and nothing wraps. */
  msub__timer_start(wheel, &t[0].t, msub__deadline(UINT64_MAX - 5, UINT64_MAX));
  cr_assert_eq(msub__wheel_next(wheel), MSUB_NEVER - 1, "G-02");
  msub__wheel_advance(wheel, MSUB_NEVER - 2, 10);
  cr_assert_eq(seen_count, 3, "G-02: not before");
  msub__wheel_advance(wheel, MSUB_NEVER - 1, 10);
  cr_assert_eq(seen_count, 4, "G-02: and not never");
  msub__wheel_free(wheel);
  msub__wheel_free(NULL);
}

/* Memory for the wheel itself and for nothing more. */
static int allowed;
static void *few_alloc(void *ud, size_t n) {
  (void)ud;
  return allowed-- > 0 ? malloc(n) : NULL;
}
static void few_free(void *ud, void *p, size_t n) {
  (void)ud;
  (void)n;
  free(p);
}

Test(wheel, without_memory) {
  msub_mem m = { .alloc = few_alloc, .free = few_free };
  allowed = 0;
  cr_assert_null(msub__wheel_new(&m, 0));
  allowed = 1;
  wheel = msub__wheel_new(&m, 0);
  now = 0;
  msub__rng_init(&rng, 9, 9);
  for (int i = 0; i < TIMERS; i++) {
    timers[i] = (model_timer){ .running = false };
    msub__timer_init(&timers[i].t, on_fire);
  }
  for (int i = 0; i < 3000; i++) {
    if (i == 2000) allowed = 1; /* memory comes back: the slots are made late */
    one_step(TIMERS);
  }
  msub__wheel_free(wheel);
}
