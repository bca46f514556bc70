#include <string.h>
#include "tests/unit/rpc_random.h"

/* Writes behind what is there; what no longer fits is left out, which only cuts the RPC short. */
typedef struct writer {
  rpc_random *r;
  uint8_t *p;
  size_t n, cap;
} writer;

static uint64_t draw(rpc_random *r) {
  r->state += 0x9e3779b97f4a7c15u;
  uint64_t z = r->state;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}
static unsigned below(writer *w, unsigned n) { return (unsigned)(draw(w->r) % n); }
static bool percent(writer *w, unsigned p) { return below(w, 100) < p; }

static void byte(writer *w, unsigned b) {
  if (w->n < w->cap) w->p[w->n++] = (uint8_t)b;
}

static void varint(writer *w, uint64_t v) {
  unsigned bytes = 1;
  for (; v >= 0x80; v >>= 7, bytes++) byte(w, (unsigned)v | 0x80);
  if (!percent(w, 2)) {
    byte(w, (unsigned)v);
    return;
  }
  byte(w, (unsigned)v | 0x80); /* padded, up to eleven bytes */
  for (unsigned more = below(w, 11 - bytes > 0 ? 11 - bytes : 1); more > 0; more--) byte(w, 0x80);
  byte(w, 0);
}

static void length(writer *w, uint64_t n) {
  varint(w, below(w, 2000) == 0 ? n + ((uint64_t)1 << 32) : n); /* the same in 32 bits */
}

static void tag(writer *w, uint64_t number, unsigned type) { varint(w, number << 3 | type); }

static void random_bytes(writer *w, uint64_t number, unsigned max) {
  unsigned n = below(w, max + 1);
  tag(w, number, 2);
  length(w, n);
  while (n-- > 0) byte(w, below(w, 256));
}

static void boolean(writer *w, uint64_t number) {
  static const uint64_t values[] = { 0, 1, 1, 2, 300, UINT64_MAX };
  tag(w, number, 0);
  varint(w, values[below(w, 6)]);
}

static void stray(writer *w, unsigned depth) {
  static const uint64_t numbers[] = { 1,  2,   3,       4,          5,          6, 7, 10,
                                      16, 100, 6492434, 0x1fffffff, 0x20000000, 0, 9, 11 };
  uint64_t number = numbers[below(w, percent(w, 90) ? 12 : 16)];
  unsigned kind = below(w, 100);
  if (kind < 35) {
    tag(w, number, 0);
    varint(w, percent(w, 20) ? draw(w->r) : below(w, 300));
    if (percent(w, 3) && w->n > 0) w->p[w->n - 1] |= 0x80; /* runs on into what follows */
  } else if (kind < 65) {
    random_bytes(w, number, 6);
  } else if (kind < 75) {
    tag(w, number, 1);
    for (int i = 0; i < 8; i++) byte(w, below(w, 256));
  } else if (kind < 85) {
    tag(w, number, 5);
    for (int i = 0; i < 4; i++) byte(w, below(w, 256));
  } else if (kind < 90) {
    tag(w, number, 4 + 2 * below(w, 2));
  } else if (depth < 4) {
    tag(w, number, 3);
    for (unsigned n = below(w, 3); n > 0; n--) stray(w, depth + 1);
    tag(w, percent(w, 90) ? number : number + 1, 4);
  }
}

typedef void body(writer *w);
static void submessage(writer *w, uint64_t number, body *content) {
  uint8_t inner[2048];
  writer sub = { w->r, inner, 0, sizeof inner };
  content(&sub);
  if (percent(w, 12)) stray(&sub, 0);
  tag(w, number, 2);
  length(w, sub.n);
  for (size_t i = 0; i < sub.n; i++) byte(w, inner[i]);
}

static void subscription(writer *w) {
  if (percent(w, 80)) boolean(w, 1);
  if (percent(w, 80)) random_bytes(w, 2, 8);
  if (percent(w, 50)) boolean(w, 3);
  if (percent(w, 50)) boolean(w, 4);
}
static void message(writer *w) {
  for (unsigned number = 1; number <= 6; number++)
    for (unsigned again = 70; percent(w, again); again = 10)
      random_bytes(w, percent(w, 95) ? number : 1 + below(w, 6), 30);
}
static void ids_1(writer *w) {
  for (unsigned n = below(w, 4); n > 0; n--) random_bytes(w, 1, 6);
}
static void ihave(writer *w) {
  if (percent(w, 80)) random_bytes(w, 1, 6);
  for (unsigned n = below(w, 4); n > 0; n--) random_bytes(w, 2, 6);
}
static void graft(writer *w) {
  for (unsigned again = 85; percent(w, again); again = 10) random_bytes(w, 1, 6);
}
static void px(writer *w) {
  if (percent(w, 80)) random_bytes(w, 1, 6);
  if (percent(w, 50)) random_bytes(w, 2, 6);
}
static void prune(writer *w) {
  if (percent(w, 80)) random_bytes(w, 1, 6);
  for (unsigned n = below(w, 3); n > 0; n--) submessage(w, 2, px);
  if (percent(w, 60)) {
    tag(w, 3, 0);
    varint(w, percent(w, 20) ? draw(w->r) : below(w, 600));
  }
}
static void extensions(writer *w) {
  if (percent(w, 70)) boolean(w, 10);
  if (percent(w, 50)) boolean(w, 6492434);
}
static void control(writer *w) {
  static body *const kinds[] = { ihave, ids_1, graft, prune, ids_1, extensions };
  for (unsigned n = below(w, 5); n > 0; n--) {
    unsigned k = below(w, 6);
    submessage(w, k + 1, kinds[k]);
  }
}
static void partial(writer *w) {
  for (unsigned number = 1; number <= 4; number++)
    if (percent(w, 60)) random_bytes(w, number, 6);
}
static void nothing(writer *w) { (void)w; }

static void mutate(writer *w) {
  static const uint8_t likely[] = { 0, 1, 8, 0x0a, 0x12, 0x1a, 0x52, 0x13, 0x14, 0x80, 0xff };
  for (unsigned n = 1 + below(w, 3); n > 0 && w->n > 0; n--) {
    size_t at = below(w, (unsigned)w->n);
    switch (below(w, 4)) {
    case 0: w->p[at] = (uint8_t)below(w, 256); break;
    case 1: w->p[at] ^= (uint8_t)(1u << below(w, 8)); break;
    case 2:
      memmove(w->p + at, w->p + at + 1, w->n - at - 1);
      w->n--;
      break;
    default:
      if (w->n == w->cap) break;
      memmove(w->p + at + 1, w->p + at, w->n - at);
      w->p[at] = likely[below(w, sizeof likely)];
      w->n++;
    }
  }
}

msub_bytes rpc_random_next(rpc_random *r) {
  static const struct {
    uint64_t number;
    body *content;
  } kinds[] = { { 1, subscription }, { 2, message },  { 3, control },
                { 3, control },      { 10, partial }, { 6492434, nothing } };
  writer w = { r, r->bytes, 0, sizeof r->bytes };
  for (unsigned n = below(&w, 6); n > 0; n--) {
    unsigned k = below(&w, 6);
    submessage(&w, kinds[k].number, kinds[k].content);
    if (percent(&w, 8)) stray(&w, 0);
  }
  if (percent(&w, 50)) mutate(&w);
  return (msub_bytes){ w.p, w.n };
}
