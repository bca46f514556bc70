/* base/wheel.c
 *
 *   start ──> deadline <= horizon? ──yes──> due: sorted, fired from the front
 *                   │ no                      ^
 *                   v                         │ advance: the slots that are over, sorted slot by slot
 *             slot of level 0 … 4, or far ────┘
 *
 * horizon is the time of the last advance, tick() of it the current tick. A timer stands at the level of the
 * highest digit in which its tick differs from the current one (digits: 8 bits, then 6 each), so everything
 * at a level is earlier than everything at the levels above, and the first occupied slot holds the earliest
 * timer. When the current tick enters a slot of an upper level, its timers are placed again, further down.
 *
 * A wheel with few timers is only the far list: the slots are made when that list has become long, so that an
 * engine with a handful of timers stays small. Without memory for the slots it works on, slower. */
#include <string.h>
#include "base/assert.h"
#include "base/mem.h"
#include "base/wheel.h"

#define TICK_BITS 20
#define LEVELS 5
#define SLOTS0 256u
#define SLOTS 64u
#define FEW 32u /* running timers before slots are worth their memory */

typedef struct slots {
  msub__node level0[SLOTS0];
  msub__node upper[LEVELS - 1][SLOTS];
  uint64_t used[SLOTS0 / 64 + LEVELS - 1]; /* a bit per slot; may outlive the slot's last timer */
} slots;

struct msub__wheel {
  msub_mem mem;
  uint64_t horizon, order;
  size_t running;
  slots *slots; /* NULL: few timers */
  msub__node due, far;
  /* The earliest deadline behind the horizon. `self` lets msub__wheel_next() of a const wheel keep what it
   * found. */
  struct msub__wheel *self;
  uint64_t next;
  bool next_known;
};

static msub__timer *timer_of(msub__node *n) { return MSUB__OF(n, msub__timer, node); }
static uint64_t tick(uint64_t ns) { return ns >> TICK_BITS; }
static unsigned level_shift(unsigned level) { return level == 0 ? 0 : 8 + 6 * (level - 1); }

static bool before(const msub__timer *a, const msub__timer *b) {
  return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

/* ---- slots ---- */

static msub__node *slot_head(slots *s, unsigned level, unsigned i) {
  return level == 0 ? &s->level0[i] : &s->upper[level - 1][i];
}
static uint64_t *slot_word(slots *s, unsigned level, unsigned i) {
  return level == 0 ? &s->used[i / 64] : &s->used[SLOTS0 / 64 + level - 1];
}

static slots *slots_new(const msub_mem *m) {
  slots *s = msub__zalloc(m, 1, sizeof *s);
  if (!s) return NULL;
  for (unsigned i = 0; i < SLOTS0; i++) msub__list_init(&s->level0[i]);
  for (unsigned l = 0; l < LEVELS - 1; l++) {
    for (unsigned i = 0; i < SLOTS; i++) msub__list_init(&s->upper[l][i]);
  }
  return s;
}

/* Puts a timer whose deadline lies behind the horizon where it belongs. */
static void place(msub__wheel *w, msub__timer *t) {
  uint64_t differs = tick(t->deadline) ^ tick(w->horizon);
  unsigned level = 0;
  while (level < LEVELS && differs >> level_shift(level + 1)) level++;
  if (!w->slots || level == LEVELS) {
    msub__list_push(&w->far, &t->node);
    return;
  }
  unsigned i = (unsigned)(tick(t->deadline) >> level_shift(level)) & (level == 0 ? SLOTS0 - 1 : SLOTS - 1);
  msub__list_push(slot_head(w->slots, level, i), &t->node);
  *slot_word(w->slots, level, i) |= UINT64_C(1) << (i % 64);
}

static void place_all(msub__wheel *w, msub__node *list) {
  for (msub__node *n; (n = msub__list_first(list));) {
    msub__list_remove(n);
    place(w, timer_of(n));
  }
}

static void replace_far(msub__wheel *w) {
  msub__node all;
  if (msub__list_empty(&w->far)) return;
  msub__list_insert(&w->far, &all);
  msub__list_remove(&w->far);
  place_all(w, &all);
}

/* The first occupied slot at or after the current tick, level by level; NULL: none. *start: its first tick.
 */
static msub__node *first_slot(const msub__wheel *w, uint64_t *start) {
  slots *s = w->slots;
  if (!s) return NULL;
  uint64_t now = tick(w->horizon);
  for (unsigned level = 0; level < LEVELS; level++) {
    unsigned count = level == 0 ? SLOTS0 : SLOTS;
    unsigned shift = level_shift(level);
    for (unsigned i = (unsigned)(now >> shift) & (count - 1); i < count;) {
      uint64_t *word = slot_word(s, level, i);
      uint64_t rest = *word >> (i % 64);
      if (!rest) {
        i = (i / 64 + 1) * 64;
        continue;
      }
      i += (unsigned)__builtin_ctzll(rest);
      msub__node *head = slot_head(s, level, i);
      if (!msub__list_empty(head)) {
        uint64_t block = (now >> shift) / count;
        *start = (block * count + i) << shift;
        return head;
      }
      *word &= ~(UINT64_C(1) << (i % 64));
    }
  }
  return NULL;
}

/* ---- due ---- */

static msub__node *merge(msub__node *a, msub__node *b) { /* two chains by `next`, ended by NULL */
  msub__node head, *tail = &head;
  while (a && b) {
    msub__node **from = before(timer_of(b), timer_of(a)) ? &b : &a;
    tail->next = *from;
    tail = *from;
    *from = (*from)->next;
  }
  tail->next = a ? a : b;
  return head.next;
}

/* Sorts the list (merge sort, runs[i] holds 2^i nodes) and appends it to due: everything in due is earlier.
 */
static void append_sorted(msub__wheel *w, msub__node *list) {
  msub__node *runs[64] = { NULL };
  unsigned top = 0;
  for (msub__node *n; (n = msub__list_first(list));) {
    msub__list_remove(n);
    n->next = NULL;
    unsigned i = 0;
    for (; runs[i]; i++) {
      n = merge(runs[i], n);
      runs[i] = NULL;
    }
    runs[i] = n;
    if (i >= top) top = i + 1;
  }
  msub__node *sorted = NULL;
  for (unsigned i = 0; i < top; i++) {
    if (runs[i]) sorted = merge(runs[i], sorted);
  }
  while (sorted) {
    msub__node *n = sorted;
    sorted = n->next;
    msub__list_push(&w->due, n);
  }
}

/* Appends what is due at the horizon from a list; the rest stays. */
static void take_due(msub__wheel *w, msub__node *list) {
  msub__node taken;
  msub__list_init(&taken);
  for (msub__node *n = list->next, *next; n != list; n = next) {
    next = n->next;
    if (!msub__passed(timer_of(n)->deadline, w->horizon)) continue;
    msub__list_remove(n);
    msub__list_push(&taken, n);
  }
  append_sorted(w, &taken);
}

/* Moves the horizon and brings everything up to it into due. */
static void move_horizon(msub__wheel *w, uint64_t now_ns) {
  if (now_ns <= w->horizon) return;
  uint64_t target = tick(now_ns), start;
  msub__node *head;
  while ((head = first_slot(w, &start)) && start <= target) {
    bool level0 = head >= w->slots->level0 && head < w->slots->level0 + SLOTS0;
    if (level0) {
      if (start == target) break;
      /* The whole slot is over, and there is nothing before it. */
      append_sorted(w, head);
      continue;
    }
    /* The current tick enters a slot of an upper level; its timers go further down. */
    w->horizon = start << TICK_BITS;
    msub__node all;
    msub__list_insert(head, &all);
    msub__list_remove(head);
    place_all(w, &all);
  }
  bool far_enters = w->slots && tick(w->horizon) >> level_shift(LEVELS) != target >> level_shift(LEVELS);
  w->horizon = now_ns;
  if (far_enters || !w->slots) take_due(w, &w->far);
  if (far_enters) replace_far(w);
  if ((head = first_slot(w, &start)) && start == target) take_due(w, head);
  if (w->next_known && w->next <= now_ns) w->next_known = false;
}

/* ---- the interface ---- */

msub__wheel *msub__wheel_new(const msub_mem *m, uint64_t now_ns) {
  msub__wheel *w = msub__zalloc(m, 1, sizeof *w);
  if (!w) return NULL;
  w->mem = *m;
  w->self = w;
  w->horizon = now_ns;
  w->next = MSUB_NEVER;
  w->next_known = true;
  msub__list_init(&w->due);
  msub__list_init(&w->far);
  return w;
}

void msub__wheel_free(msub__wheel *w) {
  if (!w) return;
  msub_mem m = w->mem;
  msub__free(&m, w->slots, sizeof(slots));
  msub__free(&m, w, sizeof *w);
}

void msub__timer_init(msub__timer *t, void (*fire)(msub__timer *)) {
  *t = (msub__timer){ .deadline = MSUB_NEVER, .fire = fire };
  msub__list_init(&t->node);
}

bool msub__timer_running(const msub__timer *t) { return !msub__list_empty(&t->node); }

void msub__timer_stop(msub__wheel *w, msub__timer *t) {
  if (!msub__timer_running(t)) return;
  msub__list_remove(&t->node);
  w->running--;
  if (w->next_known && t->deadline == w->next) w->next_known = false;
}

static void insert_due(msub__wheel *w, msub__timer *t) {
  msub__node *after = w->due.prev;
  while (after != &w->due && before(t, timer_of(after))) after = after->prev;
  msub__list_insert(after, &t->node);
}

void msub__timer_start(msub__wheel *w, msub__timer *t, uint64_t deadline_ns) {
  msub__timer_stop(w, t);
  if (deadline_ns == MSUB_NEVER) return;
  t->deadline = deadline_ns;
  t->order = w->order++;
  w->running++;
  if (msub__passed(deadline_ns, w->horizon)) {
    insert_due(w, t);
    return;
  }
  if (!w->slots && w->running > FEW && (w->slots = slots_new(&w->mem))) replace_far(w);
  place(w, t);
  if (w->next_known && deadline_ns < w->next) w->next = deadline_ns;
}

uint64_t msub__wheel_next(const msub__wheel *w) {
  if (!msub__list_empty(&w->due)) return timer_of(w->due.next)->deadline;
  if (w->next_known) return w->next;
  uint64_t start, next = MSUB_NEVER;
  msub__node *head = first_slot(w, &start);
  if (!head) head = &w->self->far;
  for (msub__node *n = head->next; n != head; n = n->next) next = msub__sooner(next, timer_of(n)->deadline);
  w->self->next = next;
  w->self->next_known = true;
  return next;
}

bool msub__wheel_advance(msub__wheel *w, uint64_t now_ns, unsigned max) {
  move_horizon(w, now_ns);
  for (unsigned i = 0; i < max && !msub__list_empty(&w->due); i++) {
    msub__timer *t = timer_of(w->due.next);
    msub__list_remove(&t->node);
    w->running--;
    t->fire(t);
  }
  return !msub__list_empty(&w->due);
}
