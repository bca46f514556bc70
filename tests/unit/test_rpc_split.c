/* tests/unit/test_rpc_split.c: what an RPC is cut into, told from the bytes: every fragment is encoded, scanned and
 * read again, and what was read must be what was given. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "pubsub/rpc_split.h"

/* ---- random loads ---- */

#define MSGS 40u
#define ENTRIES 300u
#define IDS 3000u
#define PX 200u
typedef struct load {
  uint8_t bytes[4096]; /* all views point in here */
  msub_msg_borrowed msgs[MSGS];
  const msub_msg *msg_p[MSGS];
  msub_ctl_entry e[ENTRIES];
  msub_bytes names[ENTRIES], ids[IDS];
  msub_px px[PX];
  size_t n_ids, n_px;
  msub_rpc_part partial;
  msub__load l;
} load;

static msub_bytes some(const load *w, msub__rng *r, uint32_t below) {
  size_t n = msub__rng_below(r, below);
  return (msub_bytes){ w->bytes + msub__rng_below(r, (uint32_t)(sizeof w->bytes - n)), n };
}
static void fill(load *w, msub__rng *r) {
  for (size_t i = 0; i < sizeof w->bytes; i++) w->bytes[i] = (uint8_t)msub__rng_u64(r);
}

static void random_entry(load *w, msub__rng *r, uint32_t name_max, uint32_t id_max) {
  size_t at = w->l.n++;
  msub_ctl_entry *e = &w->e[at];
  *e = (msub_ctl_entry){ .kind = (uint8_t)msub__rng_below(r, MSUB_C_IDONTWANT + 1) };
  w->names[at] = (msub_bytes){ NULL, 0 };
  if (e->kind != MSUB_C_IWANT && e->kind != MSUB_C_IDONTWANT) w->names[at] = some(w, r, name_max);
  switch (e->kind) {
  case MSUB_C_SUB: e->flags = (uint8_t)msub__rng_below(r, 4); break;
  case MSUB_C_PRUNE:
    e->backoff_s = msub__rng_below(r, 3) ? msub__rng_u64(r) >> msub__rng_below(r, 64) : 0;
    e->px = &w->px[w->n_px];
    for (uint32_t i = msub__rng_below(r, 6); i > 0 && w->n_px < PX; i--, e->n_px++) {
      msub_px *px = &w->px[w->n_px++];
      px->peer_id = some(w, r, 50);
      px->record = msub__rng_below(r, 2) ? some(w, r, 150) : (msub_bytes){ NULL, 0 };
    }
    break;
  case MSUB_C_IHAVE:
  case MSUB_C_IWANT:
  case MSUB_C_IDONTWANT:
    e->ids = &w->ids[w->n_ids];
    for (uint32_t i = msub__rng_below(r, msub__rng_below(r, 8) ? 6 : 80); i > 0 && w->n_ids < IDS; i--, e->n_ids++)
      w->ids[w->n_ids++] = some(w, r, id_max);
    break;
  default: break;
  }
}

static void random_load(load *w, msub__rng *r) {
  w->n_ids = w->n_px = 0;
  w->l = (msub__load){ .msgs = w->msg_p, .e = w->e, .names = w->names };
  for (uint32_t i = msub__rng_below(r, 3) ? msub__rng_below(r, MSGS) : 0; i > 0; i--) {
    msub_bytes b = some(w, r, msub__rng_below(r, 3) ? 200 : 3000);
    w->msgs[w->l.n_msgs] = (msub_msg_borrowed){ { .wire_n = (uint32_t)b.n, .borrowed = true }, b.p };
    w->msg_p[w->l.n_msgs] = &w->msgs[w->l.n_msgs].m;
    w->l.n_msgs++;
  }
  static const uint32_t counts[] = { 1, 12, 80, ENTRIES }, lengths[] = { 2, 24, 40, 180 };
  uint32_t n = msub__rng_below(r, counts[msub__rng_below(r, 4)] + 1);
  uint32_t name_max = lengths[msub__rng_below(r, 4)], id_max = lengths[msub__rng_below(r, 4)];
  while (w->l.n < n) random_entry(w, r, name_max, id_max);
  w->l.ext = msub__rng_below(r, 2);
  w->l.ext_partial = msub__rng_below(r, 2);
  w->l.ext_test = msub__rng_below(r, 2);
  w->l.test = msub__rng_below(r, 2);
  if (!msub__rng_below(r, 2)) return;
  w->partial = (msub_rpc_part){ .topic = some(w, r, 30),
                                .group = some(w, r, 30),
                                .part_message = some(w, r, 1500),
                                .parts_metadata = some(w, r, 30),
                                .has_topic = true,
                                .has_group = msub__rng_below(r, 2),
                                .has_part_message = msub__rng_below(r, 2),
                                .has_parts_metadata = msub__rng_below(r, 2) };
  w->l.partial = &w->partial;
}

static size_t limit_of(msub__rng *r, size_t least, uint32_t most) {
  return msub__rng_below(r, 4) ? least + msub__rng_below(r, msub__rng_below(r, most) + 1) : 0;
}
static msub__split_limits random_limits(msub__rng *r) {
  return (msub__split_limits){ .frame_bytes = limit_of(r, 1, 4000),
                               .batch_bytes = limit_of(r, 1, 4000),
                               .control_bytes = limit_of(r, 1, 2000),
                               .messages = limit_of(r, 1, 10),
                               .subscriptions = limit_of(r, 1, 20),
                               .idontwant_ids = limit_of(r, 1, 20) };
}

/* ---- what a load says, as a text of tokens: one list per kind, so that merging does not change it ---- */

enum { T_SUB, T_MSG, T_GRAFT, T_PRUNE, T_IWANT, T_IDONTWANT, T_IHAVE, T_EXT, T_PARTIAL, T_TEST, T_KINDS };
typedef struct text {
  struct {
    uint8_t *p;
    size_t n, cap;
  } k[T_KINDS];
  bool no_lists; /* leave out lists without ids and peers of PRUNEs, which cutting may take away */
} text;

static void say(text *t, unsigned kind, const void *p, size_t n) {
  size_t need = t->k[kind].n + n;
  if (need > t->k[kind].cap) {
    t->k[kind].cap = 2 * need;
    t->k[kind].p = realloc(t->k[kind].p, t->k[kind].cap);
    if (!t->k[kind].p) abort();
  }
  if (n) memcpy(t->k[kind].p + t->k[kind].n, p, n);
  t->k[kind].n = need;
}
static void say_u64(text *t, unsigned kind, uint64_t v) { say(t, kind, &v, sizeof v); }
static void say_bytes(text *t, unsigned kind, msub_bytes b) {
  say_u64(t, kind, b.n);
  say(t, kind, b.p, b.n);
}
static void forget(text *t) {
  for (unsigned i = 0; i < T_KINDS; i++) t->k[i].n = 0;
}
static void release(text *t) {
  for (unsigned i = 0; i < T_KINDS; i++) free(t->k[i].p);
}

static void say_frame(text *t, msub_bytes frame) {
  msub_rpc_iter it;
  msub_rpc_part p;
  msub_bytes id;
  msub_px px;
  msub_rpc_begin(&it, frame);
  while (msub_rpc_next(&it, &p) != MSUB_P_END) {
    switch (p.kind) {
    case MSUB_P_SUBSCRIPTION:
      say_bytes(t, T_SUB, p.topic);
      say_u64(t, T_SUB, p.subscribe + 2u * p.requests_partial + 4u * p.sends_partial);
      break;
    case MSUB_P_GRAFT: say_bytes(t, T_GRAFT, p.topic); break;
    case MSUB_P_PRUNE:
      say_bytes(t, T_PRUNE, p.topic);
      say_u64(t, T_PRUNE, p.backoff_s);
      if (t->no_lists) break;
      while (msub_px_next(&p.px, &px)) {
        say_bytes(t, T_PRUNE, px.peer_id);
        say_bytes(t, T_PRUNE, px.record);
      }
      break;
    case MSUB_P_IHAVE:
      if (!t->no_lists && p.ids.p == p.ids.end) say_bytes(t, T_IHAVE, p.topic);
      while (msub_ids_next(&p.ids, &id)) {
        say_bytes(t, T_IHAVE, p.topic);
        say_bytes(t, T_IHAVE, id);
      }
      break;
    case MSUB_P_IWANT:
    case MSUB_P_IDONTWANT:
      while (msub_ids_next(&p.ids, &id)) say_bytes(t, p.kind == MSUB_P_IWANT ? T_IWANT : T_IDONTWANT, id);
      break;
    case MSUB_P_EXTENSIONS: say_u64(t, T_EXT, 4u + p.ext_partial + 2u * p.ext_test); break;
    case MSUB_P_PARTIAL:
      say_bytes(t, T_PARTIAL, p.topic);
      say_bytes(t, T_PARTIAL, p.group);
      say_bytes(t, T_PARTIAL, p.part_message);
      say_bytes(t, T_PARTIAL, p.parts_metadata);
      break;
    case MSUB_P_TEST: say_u64(t, T_TEST, 1); break;
    default: break;
    }
  }
}
/* Messages are not parsed: random bytes. */
static void say_load(text *t, const msub__load *l) {
  size_t n = msub__rest_encode(l, NULL, 0);
  uint8_t *p = malloc(n + 1);
  if (!p) abort();
  cr_assert_eq(msub__rest_encode(l, p, n), n);
  msub_rpc_counts counts;
  cr_assert_eq(msub_rpc_scan((msub_bytes){ p, n }, NULL, &counts), MSUB_OK);
  say_frame(t, (msub_bytes){ p, n });
  free(p);
  for (size_t i = 0; i < l->n_msgs; i++) say_bytes(t, T_MSG, (msub_bytes){ msub_wire(l->msgs[i]), l->msgs[i]->wire_n });
}

/* ---- the properties ---- */

typedef struct seen {
  const load *w;
  msub__split_limits lim;
  text got;
  size_t fragments, too_large, px_cut;
  bool rest_began;
} seen;

static size_t pieces(const msub__load *l) {
  size_t n = l->n_msgs + l->ext + l->test + (l->partial != NULL);
  for (size_t i = 0; i < l->n; i++) n += l->e[i].n_ids ? l->e[i].n_ids : 1;
  return n;
}
static bool within(const msub__fragment *f, const msub__split_limits *lim) {
  size_t subs = 0, idontwant = 0;
  for (size_t i = 0; i < f->load.n; i++) {
    subs += f->load.e[i].kind == MSUB_C_SUB || f->load.e[i].kind == MSUB_C_UNSUB;
    idontwant += f->load.e[i].kind == MSUB_C_IDONTWANT ? f->load.e[i].n_ids : 0;
  }
  return (!lim->frame_bytes || f->size <= lim->frame_bytes) &&
         (!lim->batch_bytes || pieces(&f->load) < 2 || f->size <= lim->batch_bytes) &&
         (!lim->control_bytes || f->control_size <= lim->control_bytes) &&
         (!lim->messages || f->load.n_msgs <= lim->messages) && (!lim->subscriptions || subs <= lim->subscriptions) &&
         (!lim->idontwant_ids || idontwant <= lim->idontwant_ids);
}

static bool check(void *ud, const msub__fragment *f) {
  seen *s = ud;
  const msub__load *l = &f->load;
  s->fragments++;
  cr_assert_gt(pieces(l), 0);
  /* Sizes, by encoding. */
  msub_ctl ctl = { .wire_n = (uint32_t)msub__rest_encode(l, NULL, 0) };
  uint8_t *wire = malloc(ctl.wire_n + 1), *frame = malloc(f->size + 1);
  if (!wire || !frame) abort();
  cr_assert_eq(msub__rest_encode(l, wire, ctl.wire_n), ctl.wire_n);
  ctl.wire = wire;
  msub_rpc rpc = { .msgs = l->msgs, .n_msgs = l->n_msgs, .ctl = &ctl };
  cr_assert_eq(msub_rpc_size(&rpc), f->size);
  cr_assert_eq(msub_rpc_encode(&rpc, frame), f->size);
  size_t outside = (l->partial ? msub_partial_encode(l->partial, NULL, 0) : 0) + (l->test ? msub_test_encode(NULL, 0) : 0);
  cr_assert_eq(ctl.wire_n - outside, f->control_size);
  /* The same bytes as the parts have that the codec writes, but for the extensions' place. */
  size_t apart = msub_ctl_encode(l->e, l->names, l->n, NULL, 0) + outside;
  if (!l->ext) cr_assert_eq(apart, ctl.wire_n);
  msub__load plain = *l;
  plain.ext = plain.test = false;
  plain.partial = NULL;
  uint8_t *a = malloc(apart + 32), *b = malloc(apart + 32);
  if (!a || !b) abort();
  size_t n = msub_ctl_encode(l->e, l->names, l->n, a, apart);
  cr_assert_eq(msub__rest_encode(&plain, b, apart), n);
  cr_assert(msub_bytes_eq((msub_bytes){ a, n }, (msub_bytes){ b, n }));
  if (l->ext) { /* two control fields, merged by the reader, say what ours says in one */
    n += msub_ext_encode(l->ext_partial, l->ext_test, a + n, 32);
    plain.ext = true;
    size_t m = msub__rest_encode(&plain, b, apart + 32), c = msub_rpc_canonical((msub_bytes){ a, n }, NULL, 0);
    uint8_t *x = malloc(c + 1), *y = malloc(m + 1);
    if (!x || !y) abort();
    cr_assert_eq(c, m);
    (void)msub_rpc_canonical((msub_bytes){ a, n }, x, c);
    cr_assert_eq(msub_rpc_canonical((msub_bytes){ b, m }, y, m), m);
    cr_assert(msub_bytes_eq((msub_bytes){ x, c }, (msub_bytes){ y, m }));
    free(x);
    free(y);
  }
  free(a);
  free(b);
  free(wire);
  free(frame);
  /* Limits: kept, or broken by one piece alone. */
  cr_assert_eq(within(f, &s->lim), !f->too_large);
  bool one_list = l->n == 1 && pieces(l) == l->e[0].n_ids;
  if (f->too_large) cr_assert(pieces(l) == 1 || one_list);
  if (f->px_cut) {
    cr_assert(!f->too_large && l->n == 1 && pieces(l) == 1);
    cr_assert_eq(l->e[0].kind, MSUB_C_PRUNE);
    /* One more would not have fitted. */
    msub_ctl_entry more = l->e[0];
    more.n_px++;
    msub__fragment larger = *f;
    larger.load.e = &more;
    larger.size = larger.control_size = msub_ctl_encode(&more, l->names, 1, NULL, 0);
    cr_assert(!within(&larger, &s->lim));
  }
  /* Messages first; the extensions where the rest begins. */
  bool rest = pieces(l) > l->n_msgs;
  if (l->n_msgs) cr_assert(!s->rest_began && (!rest || s->fragments == 1));
  if (s->w->l.ext) cr_assert_eq(l->ext, rest && !s->rest_began);
  s->rest_began |= rest;
  s->too_large += f->too_large;
  s->px_cut += f->px_cut;
  say_load(&s->got, l);
  return true;
}

static void same_text(const text *a, const text *b, uint64_t seed) {
  for (unsigned i = 0; i < T_KINDS; i++)
    cr_assert(msub_bytes_eq((msub_bytes){ a->k[i].p, a->k[i].n }, (msub_bytes){ b->k[i].p, b->k[i].n }),
              "kind %u, seed %llu", i, (unsigned long long)seed);
}

Test(rpc_split, nothing_is_lost) {
  load *w = calloc(1, sizeof *w);
  seen s = { .w = w };
  text want = { .no_lists = false };
  size_t cut = 0, too_large = 0, px_cut = 0, whole = 0;
  cr_assert(w);
  for (uint64_t seed = 0; seed < 2500; seed++) {
    msub__rng r;
    msub__rng_init(&r, seed, 1);
    if (seed == 0) fill(w, &r);
    random_load(w, &r);
    s.lim = random_limits(&r);
    s.fragments = s.too_large = s.px_cut = 0;
    s.rest_began = false;
    forget(&s.got);
    forget(&want);
    s.got.no_lists = false;
    cr_assert(msub__rpc_split(&w->l, &s.lim, check, &s));
    if (s.px_cut) { /* compared without peers then */
      s.got.no_lists = true;
      s.rest_began = false;
      s.fragments = 0;
      forget(&s.got);
      cr_assert(msub__rpc_split(&w->l, &s.lim, check, &s));
    }
    want.no_lists = s.got.no_lists;
    say_load(&want, &w->l);
    same_text(&s.got, &want, seed);
    cr_assert((s.fragments > 0) == (pieces(&w->l) > 0));
    whole += s.fragments == 1;
    cut += s.fragments > 1;
    too_large += s.too_large > 0;
    px_cut += s.px_cut > 0;
  }
  printf("%zu whole, %zu cut, %zu with too large pieces, %zu with peers left out\n", whole, cut, too_large, px_cut);
  cr_assert(whole > 200 && cut > 1000 && too_large > 500 && px_cut > 100);
  release(&s.got);
  release(&want);
  free(w);
}

/* What a fragment holds fits, so splitting it again changes nothing. */
typedef struct twice {
  msub__split_limits lim;
  size_t inner;
  const msub__fragment *outer;
} twice;
static bool equal_to_outer(void *ud, const msub__fragment *f) {
  twice *t = ud;
  t->inner++;
  cr_assert_eq(f->size, t->outer->size);
  cr_assert_eq(f->control_size, t->outer->control_size);
  cr_assert_eq(f->load.n, t->outer->load.n);
  return true;
}
static bool again(void *ud, const msub__fragment *f) {
  twice *t = ud;
  if (f->too_large) return true;
  t->inner = 0;
  t->outer = f;
  cr_assert(msub__rpc_split(&f->load, &t->lim, equal_to_outer, t));
  cr_assert_eq(t->inner, 1);
  return true;
}
Test(rpc_split, twice_is_once) {
  load *w = calloc(1, sizeof *w);
  cr_assert(w);
  for (uint64_t seed = 0; seed < 500; seed++) {
    msub__rng r;
    msub__rng_init(&r, seed, 2);
    if (seed == 0) fill(w, &r);
    random_load(w, &r);
    twice t = { .lim = random_limits(&r) };
    cr_assert(msub__rpc_split(&w->l, &t.lim, again, &t));
  }
  free(w);
}

/* ---- lists that are shared: cut where the others are, to the same bytes ---- */

typedef struct share {
  msub_ctl c[ENTRIES];
  msub_ctl_entry own[ENTRIES];
} share;
static void share_lists(load *w, share *sh, msub__rng *r) {
  for (size_t i = 0; i < w->l.n; i++) {
    msub_ctl_entry *e = &w->e[i];
    if ((e->kind != MSUB_C_IHAVE && e->kind != MSUB_C_IWANT && e->kind != MSUB_C_IDONTWANT) || !msub__rng_below(r, 3)) continue;
    size_t n = msub_ctl_encode(e, &w->names[i], 1, NULL, 0);
    uint8_t *wire = malloc(n);
    if (!wire) abort();
    cr_assert_eq(msub_ctl_encode(e, &w->names[i], 1, wire, n), n);
    e->of = &sh->c[i];
    sh->own[i] = *e;
    sh->c[i] = (msub_ctl){ .refs = 1, .n = 1, .e = &sh->own[i], .wire = wire, .wire_n = (uint32_t)n };
  }
}
static void unshare(load *w) {
  for (size_t i = 0; i < w->l.n; i++) {
    if (w->e[i].of) free((uint8_t *)(uintptr_t)w->e[i].of->wire);
    w->e[i].of = NULL;
  }
}

typedef struct exact {
  text t;
  size_t fragments, shared, alone; /* entries of lists in fragments */
} exact;
static bool record(void *ud, const msub__fragment *f) {
  exact *x = ud;
  size_t n = msub__rest_encode(&f->load, NULL, 0);
  uint8_t *p = malloc(n + 1);
  if (!p) abort();
  cr_assert_eq(msub__rest_encode(&f->load, p, n), n);
  say_bytes(&x->t, 0, (msub_bytes){ p, n });
  free(p);
  const size_t says[] = { f->size, f->control_size, f->load.n_msgs, f->load.n, f->too_large, f->px_cut };
  for (size_t i = 0; i < sizeof says / sizeof *says; i++) say_u64(&x->t, 0, says[i]);
  for (size_t i = 0; i < f->load.n; i++) {
    if (f->load.e[i].of) x->shared++;
    else x->alone++;
  }
  x->fragments++;
  return true;
}

Test(rpc_split, shared_lists) {
  load *w = calloc(1, sizeof *w);
  share *sh = calloc(1, sizeof *sh);
  exact plain = { .fragments = 0 }, shared = plain;
  size_t whole = 0, cut = 0, kept = 0;
  cr_assert(w && sh);
  for (uint64_t seed = 0; seed < 2500; seed++) {
    msub__rng r;
    msub__rng_init(&r, seed, 3);
    if (seed == 0) fill(w, &r);
    random_load(w, &r);
    msub__split_limits lim = random_limits(&r);
    for (unsigned pass = 0; pass < 2; pass++) {
      exact *x = pass ? &shared : &plain;
      forget(&x->t);
      x->fragments = x->shared = x->alone = 0;
      if (pass) share_lists(w, sh, &r);
      cr_assert(msub__rpc_split(&w->l, &lim, record, x));
    }
    unshare(w);
    same_text(&plain.t, &shared.t, seed);
    cr_assert(plain.fragments == shared.fragments && plain.shared == 0);
    whole += shared.fragments == 1 && shared.shared > 0;
    cut += shared.fragments > 1;
    kept += shared.shared > 0;
  }
  cr_assert(whole > 50 && cut > 500 && kept > 50, "%zu, %zu, %zu", whole, cut, kept);

  /* At each limit: whole, it is shared; one byte or id less, and its pieces stand for themselves. */
  msub_bytes ids[3] = { msub_str("one"), msub_str("another"), msub_str("the third") };
  for (uint8_t kind = MSUB_C_IHAVE; kind <= MSUB_C_IDONTWANT; kind++) {
    if (kind != MSUB_C_IHAVE && kind != MSUB_C_IWANT && kind != MSUB_C_IDONTWANT) continue;
    w->l = (msub__load){ .e = w->e, .names = w->names, .n = 1 };
    w->names[0] = kind == MSUB_C_IHAVE ? msub_str("topic") : (msub_bytes){ NULL, 0 };
    w->e[0] = (msub_ctl_entry){ .kind = kind, .ids = ids, .n_ids = 3 };
    size_t size = msub__rest_encode(&w->l, NULL, 0);
    sh->own[0] = w->e[0];
    uint8_t wire[64];
    sh->c[0] = (msub_ctl){ .refs = 1, .n = 1, .e = sh->own, .wire = wire, .wire_n = (uint32_t)msub_ctl_encode(w->e, w->names, 1, wire, sizeof wire) };
    w->e[0].of = sh->own[0].of = &sh->c[0];
    for (unsigned which = 0; which < (kind == MSUB_C_IDONTWANT ? 4 : 3); which++)
      for (size_t by = 0; by < 3; by++) {
        size_t limit = (which == 3 ? 3 : size) - 1 + by;
        msub__split_limits lim = { 0 };
        *(which == 0 ? &lim.frame_bytes : which == 1 ? &lim.batch_bytes : which == 2 ? &lim.control_bytes : &lim.idontwant_ids) = limit;
        forget(&shared.t);
        shared.fragments = shared.shared = shared.alone = 0;
        cr_assert(msub__rpc_split(&w->l, &lim, record, &shared));
        bool fits = by > 0;
        cr_assert(shared.fragments == (fits ? 1u : 2u) && shared.shared == (fits ? 1u : 0u) && shared.alone == (fits ? 0u : 2u),
                  "kind %u, limit %u, %zu", kind, which, limit);
      }
    w->e[0].of = NULL;
  }
  release(&plain.t);
  release(&shared.t);
  free(sh);
  free(w);
}

/* ---- by hand ---- */

typedef struct list {
  size_t n, stop_at, sizes[256], entries[256], ids[256], px_cut[256], msgs[256];
  uint8_t kind[256];
  bool too_large[256];
} list;
static bool note(void *ud, const msub__fragment *f) {
  list *l = ud;
  cr_assert_lt(l->n, 256);
  l->sizes[l->n] = f->size;
  l->entries[l->n] = f->load.n;
  l->msgs[l->n] = f->load.n_msgs;
  l->px_cut[l->n] = f->px_cut;
  l->too_large[l->n] = f->too_large;
  l->kind[l->n] = f->load.n ? f->load.e[0].kind : UINT8_MAX;
  l->ids[l->n] = 0;
  for (size_t i = 0; i < f->load.n; i++) l->ids[l->n] += f->load.e[i].n_ids;
  l->n++;
  return l->n != l->stop_at;
}
static list run(const msub__load *given, msub__split_limits lim) {
  list l = { 0 };
  cr_assert(msub__rpc_split(given, &lim, note, &l));
  return l;
}

Test(rpc_split, nothing_in_it) {
  const msub__load none = { 0 };
  cr_assert_eq(run(&none, (msub__split_limits){ .frame_bytes = 1 }).n, 0);
  cr_assert_eq(msub__rest_encode(&none, NULL, 0), 0);
  list l = { 0 };
  cr_assert(msub__rpc_split(&none, NULL, note, &l));
  cr_assert_eq(l.n, 0);
}

Test(rpc_split, extensions_inside_control) {
  const struct {
    uint32_t n_names, topic_n;
    bool partial, test;
    const char *end;
  } cases[] = {
    { 0, 0, false, false, "\x1a\x02\x32\x00" },
    { 0, 0, true, false, "\x1a\x04\x32\x02\x50\x01" },
    { 1, 4, true, false, "\x1a\x0c\x1a\x06\x0a\x04topi\x32\x02\x50\x01" },
    { 1, 119, true, true, NULL },  /* the control field's length just below two bytes without them */
    { 1, 120, false, false, NULL },
    { 1, 121, false, false, NULL },
  };
  static uint8_t topic[128] = "topic";
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    msub_ctl_entry e = { .kind = MSUB_C_GRAFT };
    msub_bytes name = { topic, cases[i].topic_n };
    msub__load l = { .e = &e, .names = &name, .n = cases[i].n_names, .ext = true,
                     .ext_partial = cases[i].partial, .ext_test = cases[i].test };
    uint8_t out[256];
    size_t n = msub__rest_encode(&l, NULL, 0);
    cr_assert_eq(msub__rest_encode(&l, out, n - 1), n); /* no room: nothing is written */
    cr_assert_eq(msub__rest_encode(&l, out, n), n);
    if (cases[i].end && i > 0) cr_assert(memcmp(out, cases[i].end, n) == 0, "case %zu", i);
    msub_rpc_iter it;
    msub_rpc_part p;
    size_t grafts = 0, exts = 0;
    msub_rpc_begin(&it, (msub_bytes){ out, n });
    while (msub_rpc_next(&it, &p)) {
      if (p.kind == MSUB_P_GRAFT) grafts += msub_bytes_eq(p.topic, name);
      if (p.kind == MSUB_P_EXTENSIONS) exts += p.ext_partial == cases[i].partial && p.ext_test == cases[i].test;
    }
    cr_assert(grafts == cases[i].n_names && exts == 1, "case %zu", i);
  }
}

/* One large message goes, many small ones do not go together. */
Test(rpc_split, batch) {
  msub_msg small = { .wire_n = 98 }, large = { .wire_n = 997 };
  const msub_msg *m[] = { &small, &small, &small, &large, &small };
  msub_ctl_entry e = { .kind = MSUB_C_GRAFT };
  msub_bytes name = msub_str("t");
  msub__load l = { .msgs = m, .n_msgs = 5, .e = &e, .names = &name, .n = 1 };
  list got = run(&l, (msub__split_limits){ .frame_bytes = 1000, .batch_bytes = 200 });
  cr_assert_eq(got.n, 5);
  const size_t sizes[] = { 200, 100, 1000, 100, 7 };
  for (size_t i = 0; i < 5; i++) cr_assert(got.sizes[i] == sizes[i] && !got.too_large[i], "fragment %zu", i);
}

Test(rpc_split, lists_of_many_entries) {
  enum { N = 900 };
  static msub_ctl_entry e[N];
  static msub_bytes names[N], ids[N * 2];
  for (size_t i = 0; i < 2 * N; i++) ids[i] = msub_str("id");
  for (size_t i = 0; i < N; i++) {
    e[i] = (msub_ctl_entry){ .kind = MSUB_C_IWANT, .ids = &ids[2 * i], .n_ids = 2 };
    names[i] = (msub_bytes){ NULL, 0 };
  }
  msub__load l = { .e = e, .names = names, .n = N };
  list got = run(&l, (msub__split_limits){ 0 });
  cr_assert(got.n == 1 && got.entries[0] == N); /* as it is */
  /* 512 ids of 4 bytes in the first list; behind it one view of 10 bytes for each entry, the last with one id. */
  got = run(&l, (msub__split_limits){ .frame_bytes = 4000 });
  const size_t views = (4000 - 3 - (3 + 512 * 4)) / 10;
  cr_assert_eq(got.ids[0], 512 + views * 2 + 1);
  cr_assert_eq(got.entries[0], 1 + views + 1);
  /* Entries that cannot be merged: no more than the array holds. */
  for (size_t i = 0; i < N; i++) {
    e[i] = (msub_ctl_entry){ .kind = MSUB_C_GRAFT };
    names[i] = msub_str("t");
  }
  got = run(&l, (msub__split_limits){ .control_bytes = 4500 });
  cr_assert_eq(got.n, 4);
  for (size_t i = 0; i < 4; i++) cr_assert_eq(got.entries[i], i < 3 ? MSUB__SPLIT_ENTRIES : N - 3 * MSUB__SPLIT_ENTRIES);
  /* One long entry is a view, however long. */
  static msub_bytes many[20000];
  for (size_t i = 0; i < 20000; i++) many[i] = msub_str("0123456789");
  e[0] = (msub_ctl_entry){ .kind = MSUB_C_IDONTWANT, .ids = many, .n_ids = 20000 };
  l.n = 1;
  got = run(&l, (msub__split_limits){ .control_bytes = 65536 });
  cr_assert_eq(got.n, 4);
  cr_assert_eq(got.ids[0], (65536 - 8) / 12);
  got = run(&l, (msub__split_limits){ .idontwant_ids = 1000 });
  cr_assert_eq(got.n, 20);
}

Test(rpc_split, prune_loses_peers) {
  msub_px px[4];
  for (size_t i = 0; i < 4; i++) px[i] = (msub_px){ .peer_id = msub_str("0123456789"), .record = { NULL, 0 } };
  msub_ctl_entry e[] = { { .kind = MSUB_C_GRAFT }, { .kind = MSUB_C_PRUNE, .px = px, .n_px = 4 }, { .kind = MSUB_C_PRUNE } };
  msub_bytes names[] = { msub_str("t"), msub_str("t"), msub_str("t") };
  msub__load l = { .e = e, .names = names, .n = 3 };
  const size_t bare = 7, peer = 14;
  for (size_t keep = 0; keep < 4; keep++) {
    list got = run(&l, (msub__split_limits){ .control_bytes = bare + keep * peer + peer - 1 });
    cr_assert_eq(got.n, 3);
    cr_assert(got.kind[1] == MSUB_C_PRUNE && got.px_cut[1] == 4 - keep && !got.too_large[1]);
    cr_assert_eq(got.sizes[1], bare + keep * peer);
    cr_assert(got.px_cut[0] == 0 && got.px_cut[2] == 0);
  }
  list got = run(&l, (msub__split_limits){ .control_bytes = bare - 1 });
  cr_assert(got.n == 3 && got.too_large[0] && got.too_large[1] && got.too_large[2]);
  cr_assert_eq(got.px_cut[1], 0);
}

/* Sizes that cannot be: never read, never small. */
Test(rpc_split, hostile_sizes) {
  static const uint8_t byte = 0;
  msub_bytes ids[8], names[4];
  for (size_t i = 0; i < 8; i++) ids[i] = (msub_bytes){ &byte, i % 2 ? SIZE_MAX - i : SIZE_MAX / 2 };
  for (size_t i = 0; i < 4; i++) names[i] = (msub_bytes){ &byte, i ? SIZE_MAX / i : 1 };
  msub_px px = { .peer_id = { &byte, SIZE_MAX / 2 }, .record = { &byte, SIZE_MAX / 2 } };
  msub_ctl_entry e[] = { { .kind = MSUB_C_IWANT, .ids = ids, .n_ids = 8 },
                         { .kind = MSUB_C_GRAFT },
                         { .kind = MSUB_C_SUB },
                         { .kind = MSUB_C_PRUNE, .px = &px, .n_px = 1 } };
  msub_msg huge = { .wire_n = UINT32_MAX / 4 }; /* three of them fit into 32 bits */
  const msub_msg *m[] = { &huge, &huge, &huge };
  msub__load l = { .msgs = m, .n_msgs = 3, .e = e, .names = names, .n = 4 };
  const msub__split_limits some[] = { { .frame_bytes = 1000 }, { .frame_bytes = SIZE_MAX, .control_bytes = 1000 } };
  for (size_t i = 0; i < 2; i++) {
    list got = run(&l, some[i]);
    for (size_t k = 0; k < got.n; k++) cr_assert_eq(got.too_large[k], got.msgs[k] == 0 || i == 0);
  }
  list got = run(&l, (msub__split_limits){ 0 }); /* no limits: what saturates is too large all the same */
  size_t large = 0;
  for (size_t k = 0; k < got.n; k++) large += got.too_large[k];
  cr_assert_gt(large, 0);
  e[0].kind = 99; /* nothing that is ever sent */
  l.n = 1;
  l.n_msgs = 0;
  cr_assert_eq(run(&l, (msub__split_limits){ 0 }).n, 0);
}

Test(rpc_split, stops) {
  msub_msg m = { .wire_n = 50 };
  const msub_msg *msgs[] = { &m, &m, &m };
  msub_ctl_entry e[4] = { { .kind = MSUB_C_SUB }, { .kind = MSUB_C_GRAFT }, { .kind = MSUB_C_PRUNE }, { .kind = MSUB_C_IHAVE } };
  msub_bytes names[4], id[3] = { msub_str("a"), msub_str("b"), msub_str("c") };
  for (size_t i = 0; i < 4; i++) names[i] = msub_str("0123456789012345678901234567890123456789");
  msub_rpc_part partial = { .topic = msub_str("t"), .has_topic = true };
  e[3].ids = id;
  e[3].n_ids = 3;
  for (size_t limit = 1; limit < 80; limit += 3) {
    msub__load l = { msgs, 3, e, names, 4, &partial, true, true, true, true };
    msub__split_limits lim = { .frame_bytes = limit };
    size_t all = run(&l, lim).n;
    for (size_t stop = 1; stop <= all; stop++) {
      list got = { .stop_at = stop };
      cr_assert(!msub__rpc_split(&l, &lim, note, &got));
      cr_assert_eq(got.n, stop);
    }
  }
}
